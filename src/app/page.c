/* page.c - HTML of headings, tables and curves. */
#include "app/page.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_ROOM = 4096 };

static void escaped(page *p, const char *text, size_t n)
{
    for (size_t i = 0; i < n && text[i]; i++) {
        const char c = text[i];
        const char *const entity = c == '<'   ? "&lt;"
                                   : c == '>' ? "&gt;"
                                   : c == '&' ? "&amp;"
                                   : c == '"' ? "&quot;"
                                              : NULL;
        if (entity)
            (void)fputs(entity, p->f);
        else
            (void)fputc(c, p->f);
    }
}

static void element(page *p, const char *name, const char *text)
{
    (void)fprintf(p->f, "<%s>", name);
    escaped(p, text, strlen(text));
    (void)fprintf(p->f, "</%s>\n", name);
}

deft_status page_begin(page *p, const char *title, deft_error *err)
{
    *p = (page){.text = NULL};
    p->f = open_memstream(&p->text, &p->size);
    if (!p->f) return deft_fail(err, DEFT_E_SPACE, "no memory for a report");
    (void)fputs(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n"
        "<meta name=\"generator\" content=\"deft\">\n<style>\n"
        "body { font: 15px/1.5 sans-serif; max-width: 52em; margin: 2em auto; padding: 0 1em; "
        "color: #222; background: #fff }\n"
        "h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }\n"
        "table { border-collapse: collapse } td, th { padding: .15em .8em; text-align: right; "
        "border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums }\n"
        "td:first-child, th:first-child { text-align: left; padding-left: 0 }\n"
        "figure { margin: 1em 0 } figcaption { color: #555 } svg { width: 100%; height: auto }\n"
        "</style>\n",
        p->f);
    element(p, "title", title);
    (void)fputs("</head><body>\n", p->f);
    element(p, "h1", title);
    return DEFT_OK;
}

void page_heading(page *p, const char *text)
{
    element(p, "h2", text);
}

void page_text(page *p, const char *fmt, ...)
{
    char text[ROW_ROOM];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    element(p, "p", text);
}

/* href of the first cell, or NULL. */
static void row(page *p, const char *cell, const char *href, const char *text)
{
    (void)fputs("<tr>", p->f);
    for (;;) {
        const size_t n = strcspn(text, "\t");
        (void)fprintf(p->f, "<%s>", cell);
        if (href) {
            (void)fputs("<a href=\"", p->f);
            escaped(p, href, strlen(href));
            (void)fputs("\">", p->f);
        }
        escaped(p, text, n);
        (void)fprintf(p->f, "%s</%s>", href ? "</a>" : "", cell);
        href = NULL;
        if (!text[n]) break;
        text += n + 1;
    }
    (void)fputs("</tr>\n", p->f);
}

void page_table_begin(page *p, const char *head)
{
    (void)fputs("<table>\n", p->f);
    row(p, "th", NULL, head);
}

void page_row(page *p, const char *fmt, ...)
{
    char text[ROW_ROOM];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    row(p, "td", NULL, text);
}

void page_row_link(page *p, const char *href, const char *fmt, ...)
{
    char text[ROW_ROOM];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    row(p, "td", href, text);
}

void page_table_end(page *p)
{
    (void)fputs("</table>\n", p->f);
}

void page_plot(page *p, const plot *curves, const char *caption)
{
    deft_error why = {DEFT_OK, ""};
    deft_arena *const a = deft_arena_create(0);
    deft_bytes svg = {NULL, 0};
    (void)fputs("<figure>\n", p->f);
    if (a && plot_svg(curves, a, &svg, &why) == DEFT_OK) {
        (void)fwrite(svg.data, 1, svg.size, p->f);
    } else {
        page_text(p, "No curve here: %s.", why.text[0] ? why.text : "no memory");
    }
    element(p, "figcaption", caption);
    (void)fputs("</figure>\n", p->f);
    deft_arena_destroy(a);
}

deft_status page_end(page *p, const char *path, deft_status so_far, deft_error *err)
{
    if (!p->f) return so_far;
    (void)fputs("</body></html>\n", p->f);
    bool good = !ferror(p->f);
    good = fclose(p->f) == 0 && good;
    deft_status s = so_far;
    if (s == DEFT_OK) {
        s = path && good ? deft_file_write(path, p->text, p->size, err)
                         : deft_fail(err, DEFT_E_SPACE, "no memory for a report");
    }
    free(p->text);
    return s;
}
