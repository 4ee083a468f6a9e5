/* torch_lex.c - the text of a TorchScript file as tokens, with Python's indentation. */
#include "formats/torch_script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 1 << 17, MAX_NAME = 1024, MAX_NUMBER = 64 };

typedef struct lexer {
    const char *s, *end;
    ts_text *text;
    ts_names *names;
    deft_arena *a;
    deft_error *err;
    int32_t room, line;
    int32_t open; // brackets
    int32_t indent[TS_MAX_NESTING], n_indent;
    bool fresh; // at the start of a line
} lexer;

/* --- names ----------------------------------------------------------------------------------- */

static size_t hash(const char *s, size_t n)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    return (size_t)(h ^ (h >> 29));
}

static const char **slot_of(const ts_names *t, const char *s, size_t n)
{
    size_t i = hash(s, n) & (t->room - 1);
    while (t->slot[i] && (strncmp(t->slot[i], s, n) != 0 || t->slot[i][n]))
        i = (i + 1) & (t->room - 1);
    return &t->slot[i];
}

static bool grow_names(ts_names *t)
{
    ts_names more = {.room = t->room ? 2 * t->room : 256, .a = t->a};
    more.slot = DEFT_NEW_ARRAY(t->a, const char *, more.room);
    if (!more.slot) return false;
    for (size_t i = 0; i < t->room; i++)
        if (t->slot[i]) *slot_of(&more, t->slot[i], strlen(t->slot[i])) = t->slot[i];
    more.n = t->n;
    *t = more;
    return true;
}

const char *ts_intern(ts_names *t, const char *s, size_t n)
{
    if (2 * t->n >= t->room && (t->n >= MAX_NAMES || !grow_names(t))) return NULL;
    const char **slot = slot_of(t, s, n);
    if (!*slot) {
        *slot = deft_arena_strndup(t->a, s, n);
        if (*slot) t->n++;
    }
    return *slot;
}

/* --- tokens ---------------------------------------------------------------------------------- */

static deft_status bad(lexer *x, deft_status s, const char *what)
{
    return deft_fail(x->err, s, "%s:%d: %s", x->text->name, (int)x->line, what);
}

static ts_token *push(lexer *x, ts_token_kind kind)
{
    ts_text *t = x->text;
    if (t->n_token == x->room) {
        const int32_t room = x->room ? 2 * x->room : 256;
        ts_token *more =
            room <= TS_MAX_TOKENS ? DEFT_NEW_ARRAY(x->a, ts_token, room) : (ts_token *)NULL;
        if (!more) {
            (void)bad(x, DEFT_E_SPACE, "the file is larger than any policy needs");
            return NULL;
        }
        if (t->n_token) memcpy(more, t->token, (size_t)t->n_token * sizeof *more);
        t->token = more;
        x->room = room;
    }
    t->token[t->n_token] = (ts_token){.kind = kind, .line = x->line};
    return &t->token[t->n_token++];
}

static bool starts_name(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c < 0 || c >= 0x80;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static deft_status lex_name(lexer *x)
{
    const char *from = x->s;
    while (x->s < x->end && (starts_name(*x->s) || is_digit(*x->s))) x->s++;
    const size_t n = (size_t)(x->s - from);
    if (n > MAX_NAME) return bad(x, DEFT_E_RANGE, "a name is too long");
    ts_token *t = push(x, TS_T_NAME);
    if (!t) return DEFT_E_SPACE;
    t->s = ts_intern(x->names, from, n);
    return t->s ? DEFT_OK : bad(x, DEFT_E_SPACE, "no memory");
}

static deft_status lex_number(lexer *x)
{
    char text[MAX_NUMBER + 1], *end = NULL;
    size_t n = 0;
    bool real = false;
    for (; x->s < x->end && n < MAX_NUMBER; x->s++) {
        const char c = *x->s;
        const int before = n ? (unsigned char)text[n - 1] : '0';
        const bool sign = (c == '+' || c == '-') && (before == 'e' || before == 'E');
        if (!is_digit(c) && c != '.' && c != 'e' && c != 'E' && !sign) break;
        real |= !is_digit(c);
        text[n++] = *x->s;
    }
    text[n] = '\0';
    ts_token *t = push(x, real ? TS_T_FLOAT : TS_T_INT);
    if (!t) return DEFT_E_SPACE;
    errno = 0;
    if (real)
        t->f = strtod(text, &end);
    else
        t->i = strtoll(text, &end, 10);
    const bool wide = !real && errno == ERANGE;
    if (*end || wide || (x->s < x->end && starts_name(*x->s)))
        return bad(x, DEFT_E_FORMAT, "a number that is not one");
    return DEFT_OK;
}

/* The character that the escape at x->s, after its backslash, stands for. */
static char unescape(lexer *x)
{
    static const char from[] = "nrtabfv0", to[] = "\n\r\t\a\b\f\v";
    const char c = *x->s++;
    if (c >= '0' && c <= '7') {
        int v = c - '0';
        for (int k = 0; k < 2 && x->s < x->end && *x->s >= '0' && *x->s <= '7'; k++)
            v = 8 * v + (*x->s++ - '0');
        return (char)v;
    }
    const char *at = strchr(from, c);
    if (at && c) return to[at - from];
    return c;
}

static deft_status lex_string(lexer *x)
{
    const char quote = *x->s++;
    const char *end = x->s; // of the text, escapes and all
    while (end < x->end && *end != quote && *end != '\n') end += *end == '\\' ? 2 : 1;
    if (end >= x->end || *end != quote) return bad(x, DEFT_E_FORMAT, "a string does not end");
    char *out = deft_arena_alloc(x->a, (size_t)(end - x->s) + 1);
    ts_token *t = push(x, TS_T_STRING);
    if (!out || !t) return bad(x, DEFT_E_SPACE, "no memory");
    size_t n = 0;
    while (x->s < end) {
        const char c = *x->s++;
        out[n] = c;
        if (c == '\\' && x->s < end) out[n] = unescape(x);
        n++;
    }
    x->s = end + 1;
    t->s = out; // what follows a NUL is nobody's business
    return DEFT_OK;
}

/* Newlines inside brackets are spaces. */
static deft_status lex_mark(lexer *x)
{
    static const char *const marks[] = {"->", "(", ")", "[", "]", "{", "}",
                                        ",",  ":", ".", "=", "-", "*", ";"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const size_t n = strlen(marks[i]);
        if ((size_t)(x->end - x->s) < n || memcmp(x->s, marks[i], n) != 0) continue;
        if (strchr("([{", *marks[i])) x->open++;
        if (strchr(")]}", *marks[i]) && x->open > 0) x->open--;
        x->s += n;
        ts_token *t = push(x, TS_T_MARK);
        if (!t) return DEFT_E_SPACE;
        t->s = marks[i];
        return DEFT_OK;
    }
    char text[16];
    return deft_fail(x->err, DEFT_E_UNSUPPORTED, "%s:%d: '%s' is not expected in TorchScript",
                     x->text->name, (int)x->line, deft_escape(text, sizeof text, x->s, 1));
}

/* At the start of a line: blocks open and close. */
static deft_status lex_indent(lexer *x)
{
    int32_t width = 0;
    for (; x->s < x->end && (*x->s == ' ' || *x->s == '\t'); x->s++) width++;
    x->fresh = false;
    if (x->s < x->end && (*x->s == '\n' || *x->s == '#' || *x->s == '\r')) return DEFT_OK;
    if (x->s >= x->end) width = 0;
    if (width > x->indent[x->n_indent - 1]) {
        if (x->n_indent == TS_MAX_NESTING)
            return bad(x, DEFT_E_RANGE, "blocks are nested too deep");
        x->indent[x->n_indent++] = width;
        return push(x, TS_T_INDENT) ? DEFT_OK : DEFT_E_SPACE;
    }
    while (width < x->indent[x->n_indent - 1]) {
        x->n_indent--;
        if (!push(x, TS_T_DEDENT)) return DEFT_E_SPACE;
    }
    return width == x->indent[x->n_indent - 1]
               ? DEFT_OK
               : bad(x, DEFT_E_FORMAT, "the indentation fits no block");
}

/* Has no token come since the last line ended? */
static bool at_start(const ts_text *t)
{
    const ts_token_kind last = t->n_token ? t->token[t->n_token - 1].kind : TS_T_NEWLINE;
    return last == TS_T_NEWLINE || last == TS_T_DEDENT || last == TS_T_INDENT;
}

static deft_status lex_newline(lexer *x)
{
    x->s++;
    const bool inside = x->open > 0;
    if (!inside && !at_start(x->text) && !push(x, TS_T_NEWLINE)) return DEFT_E_SPACE;
    x->line++;
    x->fresh = !inside;
    return DEFT_OK;
}

static deft_status lex_one(lexer *x)
{
    if (x->fresh) return lex_indent(x);
    const char c = *x->s;
    if (c == '\n') return lex_newline(x);
    if (c == ' ' || c == '\t' || c == '\r') {
        x->s++;
        return DEFT_OK;
    }
    if (c == '#') {
        while (x->s < x->end && *x->s != '\n') x->s++;
        return DEFT_OK;
    }
    const bool point = c == '.' && x->s + 1 < x->end && is_digit(x->s[1]);
    if (is_digit(c) || point) return lex_number(x);
    if (c == '"' || c == '\'') return lex_string(x);
    return starts_name(c) ? lex_name(x) : lex_mark(x);
}

deft_status ts_lex(ts_text *t, ts_names *names, deft_arena *a, deft_error *err)
{
    lexer x = {.s = (const char *)t->bytes.data,
               .text = t,
               .names = names,
               .a = a,
               .err = err,
               .line = 1,
               .n_indent = 1,
               .fresh = true};
    x.end = x.s + t->bytes.size;
    deft_status s = DEFT_OK;
    while (s == DEFT_OK && x.s < x.end) s = lex_one(&x);
    if (s != DEFT_OK) return s;
    if (!at_start(t) && !push(&x, TS_T_NEWLINE)) return DEFT_E_SPACE;
    while (x.n_indent > 1) {
        x.n_indent--;
        if (!push(&x, TS_T_DEDENT)) return DEFT_E_SPACE;
    }
    return push(&x, TS_T_END) ? DEFT_OK : DEFT_E_SPACE;
}
