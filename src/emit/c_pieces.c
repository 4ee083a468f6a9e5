/* c_pieces.c - cuts C source, formatted as ours is, into definitions: what stands at the left
 * margin begins one, and it ends where its braces are closed. */
#include "emit/c_pieces.h"

#include <ctype.h>
#include <string.h>

enum { MAX_NAMES = 64 };

static bool letter(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The next identifier at or behind *at, outside comments and literals; its length, 0 at the end. */
static size_t next_word(const char **at, const char *end)
{
    const char *s = *at;
    while (s < end) {
        if (s + 1 < end && s[0] == '/' && s[1] == '/') {
            while (s < end && *s != '\n') s++;
        } else if (s + 1 < end && s[0] == '/' && s[1] == '*') {
            for (s += 2; s + 1 < end && !(s[0] == '*' && s[1] == '/'); s++) {
            }
            s += 2;
        } else if (isdigit((unsigned char)*s)) {
            while (s < end && (letter(*s) || *s == '.')) s++;
        } else if (*s == '"') {
            for (s++; s < end && *s != '"'; s++) {
                if (*s == '\\') s++;
            }
            s++;
        } else if (letter(*s)) {
            const char *const word = s;
            while (s < end && letter(*s)) s++;
            *at = word;
            return (size_t)(s - word);
        } else {
            s++;
        }
    }
    *at = end;
    return 0;
}

static bool starts(const char *s, const char *end, const char *with)
{
    const size_t n = strlen(with);
    return (size_t)(end - s) >= n && memcmp(s, with, n) == 0;
}

/* The last word before the first of `stop` in the text: what a declaration declares. */
static size_t word_before(const char *s, const char *end, char stop, const char **word)
{
    const char *const last = memchr(s, stop, (size_t)(end - s));
    const char *const limit = last ? last : end;
    size_t n = 0, length;
    for (const char *at = s; (length = next_word(&at, limit)) > 0; at += length) {
        *word = at;
        n = length;
    }
    return n;
}

static bool add_name(c_pieces *p, c_piece *c, const char *s, size_t n)
{
    if (n == 0 || c->n_name == MAX_NAMES) return true;
    c->name[c->n_name] = deft_arena_strndup(p->arena, s, n);
    return c->name[c->n_name++] != NULL;
}

/* Finds out what a piece defines; none: it only declares. */
static bool name_piece(c_pieces *p, c_piece *c)
{
    const char *const s = c->text, *const end = s + c->text_size, *word = s;
    const char *const brace = memchr(s, '{', c->text_size);
    const char *const equals = memchr(s, '=', c->text_size);
    const bool type = starts(s, end, "typedef"), list = starts(s, end, "enum");
    c->name = DEFT_NEW_ARRAY(p->arena, const char *, MAX_NAMES);
    if (!c->name) return false;
    if (list || starts(s, end, "typedef enum")) {
        size_t n;
        for (const char *at = brace ? brace : end; (n = next_word(&at, end)) > 0; at += n) {
            if (!add_name(p, c, at, n)) return false;
        }
        return true;
    }
    if (type && brace) {
        const char *tail = end;
        while (tail > s && *tail != '}') tail--;
        const size_t n = word_before(tail, end, ';', &word);
        return add_name(p, c, word, n);
    }
    if (!type && !brace && !equals) return true;
    const bool object = !type && equals && (!brace || equals < brace);
    const bool tag = starts(s, end, "struct");
    c->function = !type && !object && !tag;
    char stop = '(';
    if (object) stop = '=';
    if (tag) stop = '{';
    const size_t n = word_before(s, end, stop, &word);
    return add_name(p, c, word, n);
}

static bool add_piece(c_pieces *p, c_piece c)
{
    if (!name_piece(p, &c)) return false;
    if (c.n_name == 0) return true;
    if (p->n == p->room) {
        c_piece *const more = DEFT_NEW_ARRAY(p->arena, c_piece, 2 * p->room + 64);
        if (!more) return false;
        if (p->n) memcpy(more, p->piece, (size_t)p->n * sizeof *more);
        p->piece = more;
        p->room = 2 * p->room + 64;
    }
    p->piece[p->n++] = c;
    return true;
}

/* Where the definition that begins at s ends: behind the line on which all its braces are closed
 * and that ends with ; or }. */
static const char *end_of(const char *s)
{
    int depth = 0;
    char last = 0;
    for (; *s; s++) {
        if (s[0] == '/' && s[1] == '/') {
            while (s[1] && s[1] != '\n') s++;
        } else if (s[0] == '/' && s[1] == '*') {
            const char *const e = strstr(s, "*/");
            if (!e) return s + strlen(s);
            s = e + 1;
        } else if (*s == '\n') {
            if (depth == 0 && (last == ';' || last == '}')) return s + 1;
        } else if (!isspace((unsigned char)*s)) {
            last = *s;
            depth += (*s == '{') - (*s == '}');
        }
    }
    return s;
}

static bool cut(c_pieces *p, const char *s)
{
    c_piece c = {.n_name = 0};
    while (*s) {
        const char *const line_end = strchr(s, '\n');
        const char *const next = line_end ? line_end + 1 : s + strlen(s);
        if (*s == '\n') {
            c.comment = NULL;
            c.comment_size = 0;
            s = next;
        } else if (*s == '#') {
            s = next;
        } else if (s[0] == '/' && s[1] == '*') {
            const char *e = strstr(s, "*/");
            if (!e) return true;
            e += e[2] == '\n' ? 3 : 2;
            c.comment = s;
            c.comment_size = (size_t)(e - s);
            s = e;
        } else {
            c.text = s;
            s = end_of(s);
            c.text_size = (size_t)(s - c.text);
            if (!add_piece(p, c)) return false;
            c = (c_piece){.n_name = 0};
        }
    }
    return true;
}

deft_status c_pieces_read(const c_source *source, deft_arena *a, c_pieces *out, deft_error *err)
{
    memset(out, 0, sizeof *out);
    out->arena = a;
    for (; source->text; source++) {
        if (!cut(out, source->text)) return deft_fail(err, DEFT_E_SPACE, "out of memory");
    }
    return DEFT_OK;
}

static c_piece *find(c_pieces *p, const char *word, size_t n)
{
    for (int i = 0; i < p->n; i++) {
        for (int k = 0; k < p->piece[i].n_name; k++) {
            const char *const name = p->piece[i].name[k];
            if (strncmp(name, word, n) == 0 && name[n] == 0) return &p->piece[i];
        }
    }
    return NULL;
}

static bool want(c_pieces *p, const char *text, size_t size)
{
    bool more = false;
    const char *const end = text + size;
    size_t n;
    for (const char *at = text; (n = next_word(&at, end)) > 0; at += n) {
        if (at > text && (at[-1] == '.' || at[-1] == '>')) continue; // a member
        c_piece *const c = find(p, at, n);
        if (!c || c->wanted) continue;
        c->wanted = true;
        more = true;
    }
    return more;
}

void c_pieces_want(c_pieces *p, const char *text, size_t size)
{
    bool more = want(p, text, size);
    while (more) { // until nothing is added: no recursion, and there are few
        more = false;
        for (int i = 0; i < p->n; i++) {
            if (p->piece[i].wanted && want(p, p->piece[i].text, p->piece[i].text_size)) more = true;
        }
    }
}

void c_pieces_write(const c_pieces *p, FILE *f)
{
    for (int i = 0; i < p->n; i++) {
        const c_piece *const c = &p->piece[i];
        if (!c->wanted) continue;
        (void)fwrite(c->comment, 1, c->comment_size, f);
        if (c->function && !starts(c->text, c->text + c->text_size, "static")) {
            (void)fputs("static ", f);
        }
        (void)fwrite(c->text, 1, c->text_size, f);
        (void)fputc('\n', f);
    }
}

static bool is_public(const char *word, size_t n, const char *name)
{
    static const char *const what[] = {"_state", "_step", "_reset", "_selftest"};
    const size_t length = strlen(name);
    if (n <= length || memcmp(word, name, length) != 0) return false;
    for (size_t i = 0; i < sizeof what / sizeof what[0]; i++) {
        if (strlen(what[i]) == n - length && memcmp(word + length, what[i], n - length) == 0) {
            return true;
        }
    }
    return false;
}

static void put_renamed(const char *word, size_t n, const char *name, FILE *f)
{
    const char *const end = word + n;
    const bool upper = starts(word, end, "DEFT_");
    for (const char *s = name; *s; s++) {
        (void)fputc(upper ? toupper((unsigned char)*s) : *s, f);
    }
    const size_t drop = upper || starts(word, end, "deft_") ? 5 : 0;
    (void)fprintf(f, "_%.*s", (int)(n - drop), word + drop);
}

deft_status c_pieces_rename(deft_bytes text, const char *name, deft_arena *a, FILE *f,
                            deft_error *err)
{
    const char *const begin = (const char *)text.data, *const end = begin + text.size;
    const char *const terminated = deft_arena_strndup(a, begin, text.size);
    const c_source source[2] = {{"", terminated}, {NULL, NULL}};
    c_pieces defined;
    size_t n;
    if (!terminated) return deft_fail(err, DEFT_E_SPACE, "out of memory");
    const deft_status s = c_pieces_read(source, a, &defined, err);
    if (s != DEFT_OK) return s;
    const char *from = begin;
    for (const char *at = begin; (n = next_word(&at, end)) > 0; at += n) {
        if (is_public(at, n, name) || !find(&defined, at, n)) continue;
        (void)fwrite(from, 1, (size_t)(at - from), f);
        put_renamed(at, n, name, f);
        from = at + n;
    }
    (void)fwrite(from, 1, (size_t)(end - from), f);
    return DEFT_OK;
}
