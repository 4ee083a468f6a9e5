/* page.h - private: the elements of a page. */
#ifndef DEFT_APP_PAGE_H
#define DEFT_APP_PAGE_H

#include "app/plot.h"

#include <stdio.h>

typedef struct page {
    FILE *f; // in memory
    char *text;
    size_t size;
} page;

deft_status page_begin(page *p, const char *title, deft_error *err);
void page_heading(page *p, const char *text);
void page_text(page *p, const char *fmt, ...) DEFT_PRINTF(2, 3); // a paragraph
/* A table of cells separated by '\t'; the first row is its head. */
void page_table_begin(page *p, const char *head);
void page_row(page *p, const char *fmt, ...) DEFT_PRINTF(2, 3);
void page_row_link(page *p, const char *href, const char *fmt, ...) DEFT_PRINTF(3, 4);
void page_table_end(page *p);
/* Curves with a caption; no gnuplot, no curves: a sentence instead. */
void page_plot(page *p, const plot *curves, const char *caption);
/* Writes the file, or nothing if `so_far` is an error; frees the page. path NULL: memory ran out.
 */
deft_status page_end(page *p, const char *path, deft_status so_far, deft_error *err);

#endif
