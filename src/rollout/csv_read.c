/* csv_read.c - recorded observations: a header and numbers. libcsv splits cells; it is fed one
 * line at a time, so that errors can name the line. */
#include "deft/rollout.h"

#include <csv.h>
#include <ctype.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 4096, MAX_CELL = 65536, NAME_ROOM = 96 };

typedef struct csv_reader {
    const char *source; // escaped
    deft_arena *arena;
    deft_error *err;
    deft_status status;   // the first error
    int64_t line;         // from 1
    int32_t n_column, at; // columns of the header, of this row so far
    bool in_header;
    const char **name; // [MAX_COLUMNS]
    double *cell;      // [room]
    size_t n_cell, room;
    int64_t n_row;
} csv_reader;

static void fail(csv_reader *r, const char *what)
{
    if (r->status == DEFT_OK)
        r->status =
            deft_fail(r->err, DEFT_E_FORMAT, "%s:%lld: %s", r->source, (long long)r->line, what);
}

static void fail_space(csv_reader *r)
{
    if (r->status == DEFT_OK)
        r->status =
            deft_fail(r->err, DEFT_E_SPACE, "%s:%lld: no memory", r->source, (long long)r->line);
}

static void fail_cell(csv_reader *r, const char *text, size_t n, const char *what)
{
    char name[NAME_ROOM], value[NAME_ROOM];
    (void)deft_escape(name, sizeof name, r->name[r->at], MAX_CELL);
    (void)deft_escape(value, sizeof value, text, n);
    r->status = deft_fail(r->err, DEFT_E_FORMAT, "%s:%lld: column %d '%s': '%s' %s", r->source,
                          (long long)r->line, (int)r->at + 1, name, value, what);
}

static void add_name(csv_reader *r, const char *text, size_t n)
{
    if (r->n_column == MAX_COLUMNS) {
        fail(r, "more than 4096 columns");
        return;
    }
    if (n > 0 && memchr(text, '\0', n)) {
        fail(r, "a NUL byte in the name of a column");
        return;
    }
    for (int32_t i = 0; n > 0 && i < r->n_column; i++) {
        if (strncmp(r->name[i], text, n) != 0 || r->name[i][n] != '\0') continue;
        char name[NAME_ROOM], what[NAME_ROOM + 64];
        (void)deft_escape(name, sizeof name, r->name[i], MAX_CELL);
        (void)snprintf(what, sizeof what, "columns %d and %d are both '%s'", (int)i + 1,
                       (int)r->n_column + 1, name);
        fail(r, what);
        return;
    }
    const char *name = deft_arena_strndup(r->arena, n > 0 ? text : "", n);
    if (!name) fail_space(r);
    r->name[r->n_column++] = name ? name : "";
}

/* A decimal number or nan; no hexadecimal, no infinity. text ends with a NUL behind n bytes. */
static const char *read_number(const char *text, size_t n, double *out)
{
    char *end = NULL;
    size_t i = text[0] == '+' || text[0] == '-';
    const char first = text[i];
    if (tolower((unsigned char)first) == 'n') {
        const char *tail = text + i;
        if (n - i != 3 || tolower((unsigned char)tail[1]) != 'a' ||
            tolower((unsigned char)tail[2]) != 'n')
            return "is not a number";
        *out = (double)NAN;
        return NULL;
    }
    if (first != '.' && (first < '0' || first > '9')) return "is not a number";
    if (first == '0' && (text[i + 1] == 'x' || text[i + 1] == 'X')) return "is not a number";
    *out = strtod(text, &end);
    if (end != text + n) return "is not a number";
    return isfinite(*out) ? NULL : "is out of range";
}

static void add_cell(csv_reader *r, const char *text, size_t n)
{
    double v = (double)NAN;
    if (r->at == r->n_column) {
        fail(r, "more cells than the header has columns");
        return;
    }
    const char *what = n > 0 ? read_number(text, n, &v) : NULL;
    if (what) {
        fail_cell(r, text, n, what);
        return;
    }
    if (r->n_cell == r->room) {
        const size_t room = r->room ? 2 * r->room : 4096;
        double *more =
            room <= SIZE_MAX / sizeof *more ? realloc(r->cell, room * sizeof *more) : NULL;
        if (!more) {
            fail_space(r);
            return;
        }
        r->cell = more;
        r->room = room;
    }
    r->cell[r->n_cell++] = v;
    r->at++;
}

static void on_cell(void *text, size_t n, void *user)
{
    csv_reader *r = user;
    if (r->status != DEFT_OK) return;
    if (r->in_header)
        add_name(r, text, n);
    else
        add_cell(r, text, n);
}

static void on_row(int end, void *user)
{
    csv_reader *r = user;
    (void)end;
    if (r->status != DEFT_OK) return;
    if (!r->in_header && r->at != r->n_column) {
        char what[96];
        (void)snprintf(what, sizeof what, "%d cells, the header has %d columns", (int)r->at,
                       (int)r->n_column);
        fail(r, what);
    }
    bool named = false;
    for (int32_t i = 0; r->in_header && i < r->n_column; i++) {
        double v = 0;
        named = named || (r->name[i][0] && read_number(r->name[i], strlen(r->name[i]), &v));
    }
    if (r->in_header && !named) fail(r, "the first line must name the columns");
    if (!r->in_header) r->n_row++;
    r->in_header = false;
    r->at = 0;
}

/* Bounds a cell, and libcsv's buffer with it. */
static void *bounded_realloc(void *p, size_t n)
{
    return n > MAX_CELL + 8192 ? NULL : realloc(p, n);
}

/* Bytes to the end of the line, its terminator (LF, CR, CR LF) included. */
static size_t line_length(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] != '\n' && p[i] != '\r') i++;
    if (i + 1 < n && p[i] == '\r' && p[i + 1] == '\n') i++;
    return i < n ? i + 1 : n;
}

static void explain(csv_reader *r, struct csv_parser *p)
{
    if (csv_error(p) == CSV_EPARSE)
        fail(r, "misplaced quotes");
    else if (csv_error(p) == CSV_ENOMEM)
        fail(r, "no memory, or a cell longer than 65536 bytes");
    else
        fail(r, csv_strerror(csv_error(p)));
}

static void parse(csv_reader *r, deft_bytes b)
{
    struct csv_parser p;
    size_t at = b.size >= 3 && memcmp(b.data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; // a BOM
    if (csv_init(&p, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0) {
        fail_space(r);
        return;
    }
    csv_set_realloc_func(&p, bounded_realloc);
    csv_set_blk_size(&p, 4096);
    while (at < b.size && r->status == DEFT_OK) {
        const size_t n = line_length(b.data + at, b.size - at);
        r->line++;
        if (csv_parse(&p, b.data + at, n, on_cell, on_row, r) != n) explain(r, &p);
        at += n;
    }
    // a quote that never closes is found here
    if (r->status == DEFT_OK && csv_fini(&p, on_cell, on_row, r) != 0) explain(r, &p);
    csv_free(&p);
    if (r->status == DEFT_OK && r->in_header) fail(r, "no header");
}

static deft_status finish(csv_reader *r, deft_csv *out)
{
    if (r->n_row > INT32_MAX)
        return deft_fail(r->err, DEFT_E_SPACE, "%s: more than %d rows", r->source, INT32_MAX);
    const double *cell = deft_arena_copy(r->arena, r->cell, r->n_cell * sizeof *r->cell);
    const char **name = deft_arena_copy(r->arena, r->name, (size_t)r->n_column * sizeof *r->name);
    if (!cell || !name) return deft_fail(r->err, DEFT_E_SPACE, "%s: no memory", r->source);
    *out = (deft_csv){r->n_column, (int32_t)r->n_row, name, cell};
    return DEFT_OK;
}

deft_status deft_csv_read(deft_bytes bytes, const char *source, deft_arena *a, deft_csv *out,
                          deft_error *err)
{
    char escaped[256];
    *out = (deft_csv){0};
    csv_reader r = {.source = deft_escape(escaped, sizeof escaped, source ? source : "CSV", 4096),
                    .arena = a,
                    .err = err,
                    .in_header = true};
    // strtod reads the decimal point of the locale, which belongs to the program that called us
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    r.name = malloc(MAX_COLUMNS * sizeof *r.name);
    if (c != (locale_t)0 && r.name) {
        const locale_t before = uselocale(c);
        parse(&r, bytes);
        (void)uselocale(before);
        if (r.status == DEFT_OK) r.status = finish(&r, out);
    } else {
        r.line = 1;
        fail_space(&r);
    }
    if (c != (locale_t)0) freelocale(c);
    free(r.name);
    free(r.cell);
    return r.status;
}
