/* torch_parse_expr.c - expressions of TorchScript. Nesting is bounded, and with it recursion. */
#include "formats/torch_script.h"

#include <string.h>

const ts_token *ts_peek(const ts_parser *p)
{
    return &p->text->token[p->at];
}

static bool is_mark(const ts_token *t, const char *mark)
{
    return t->kind == TS_T_MARK && strcmp(t->s, mark) == 0;
}

bool ts_take_mark(ts_parser *p, const char *mark)
{
    const bool found = is_mark(ts_peek(p), mark);
    if (found) p->at++;
    return found;
}

bool ts_take_word(ts_parser *p, const char *word)
{
    const ts_token *t = ts_peek(p);
    const bool found = t->kind == TS_T_NAME && strcmp(t->s, word) == 0;
    if (found) p->at++;
    return found;
}

deft_status ts_expected(ts_parser *p, const char *what)
{
    static const char *const kind[] = {"the end of the file",
                                       "the end of the line",
                                       "a block",
                                       "the end of a block",
                                       NULL,
                                       "an integer",
                                       "a number",
                                       "a string"};
    const ts_token *t = ts_peek(p);
    char text[80];
    if (t->kind == TS_T_NAME || t->kind == TS_T_MARK)
        (void)deft_escape(text, sizeof text, t->s, 64);
    const bool named = t->kind == TS_T_NAME || t->kind == TS_T_MARK;
    return deft_fail(p->err, DEFT_E_UNSUPPORTED, "%s:%d: expected %s, not %s%s%s", p->text->name,
                     (int)t->line, what, named ? "'" : "", named ? text : kind[t->kind],
                     named ? "'" : "");
}

deft_status ts_parse_no_memory(ts_parser *p)
{
    return deft_fail(p->err, DEFT_E_SPACE, "%s: no memory for the program", p->text->name);
}

ts_expr *ts_new_expr(ts_parser *p, ts_expr_kind kind)
{
    ts_expr *e = DEFT_NEW(p->a, ts_expr);
    if (!e) return NULL;
    e->kind = kind;
    e->line = ts_peek(p)->line;
    return e;
}

deft_status ts_push_expr(ts_parser *p, ts_expr *list, ts_expr *item, const char *key)
{
    if (list->n == list->room) {
        const int32_t room = list->room ? 2 * list->room : 4;
        ts_expr **more = DEFT_NEW_ARRAY(p->a, ts_expr *, room);
        const char **keys = DEFT_NEW_ARRAY(p->a, const char *, room);
        if (!more || !keys) return ts_parse_no_memory(p);
        for (int32_t i = 0; i < list->n; i++) {
            more[i] = list->item[i];
            keys[i] = list->key[i];
        }
        list->item = more;
        list->key = keys;
        list->room = room;
    }
    list->item[list->n] = item;
    list->key[list->n++] = key;
    return DEFT_OK;
}

/* The name of a keyword argument, which is taken with its '='; NULL: none is here. */
static const char *take_keyword(ts_parser *p)
{
    const ts_token *t = ts_peek(p);
    if (t->kind != TS_T_NAME || !is_mark(t + 1, "=")) return NULL;
    p->at += 2;
    return t->s;
}

/* Items up to the bracket that closes the list; a comma may end it. */
static deft_status parse_items(ts_parser *p, ts_expr *list, const char *close)
{
    while (!ts_take_mark(p, close)) {
        const char *key = list->kind == TS_E_CALL ? take_keyword(p) : NULL;
        ts_expr *item = NULL;
        deft_status s = ts_parse_expr(p, &item);
        if (s == DEFT_OK) s = ts_push_expr(p, list, item, key);
        if (s == DEFT_OK && list->kind == TS_E_DICT) {
            if (!ts_take_mark(p, ":")) return ts_expected(p, "':'");
            s = ts_parse_expr(p, &item);
            if (s == DEFT_OK) s = ts_push_expr(p, list, item, NULL);
        }
        if (s != DEFT_OK) return s;
        if (ts_take_mark(p, ",")) continue;
        if (!ts_take_mark(p, close)) return ts_expected(p, "',' or a closing bracket");
        break;
    }
    return DEFT_OK;
}

/* (x), (x,) and (). */
static deft_status parse_bracket(ts_parser *p, ts_expr **out)
{
    ts_expr *tuple = ts_new_expr(p, TS_E_TUPLE);
    if (!tuple) return ts_parse_no_memory(p);
    const deft_status s = parse_items(p, tuple, ")");
    if (s != DEFT_OK) return s;
    const bool comma = is_mark(&p->text->token[p->at - 2], ",");
    *out = tuple->n == 1 && !comma ? tuple->item[0] : tuple;
    return DEFT_OK;
}

static deft_status parse_display(ts_parser *p, ts_expr_kind kind, const char *close, ts_expr **out)
{
    *out = ts_new_expr(p, kind);
    return *out ? parse_items(p, *out, close) : ts_parse_no_memory(p);
}

static deft_status parse_atom(ts_parser *p, ts_expr **out)
{
    static const ts_expr_kind kind[] = {[TS_T_NAME] = TS_E_NAME,
                                        [TS_T_INT] = TS_E_INT,
                                        [TS_T_FLOAT] = TS_E_FLOAT,
                                        [TS_T_STRING] = TS_E_STRING};
    const ts_token *t = ts_peek(p);
    if (ts_take_mark(p, "(")) return parse_bracket(p, out);
    if (ts_take_mark(p, "[")) return parse_display(p, TS_E_LIST, "]", out);
    if (ts_take_mark(p, "{")) return parse_display(p, TS_E_DICT, "}", out);
    if (t->kind < TS_T_NAME || t->kind > TS_T_STRING) return ts_expected(p, "an expression");
    ts_expr *e = ts_new_expr(p, kind[t->kind]);
    if (!e) return ts_parse_no_memory(p);
    e->s = t->s;
    e->i = t->i;
    e->f = t->f;
    p->at++;
    *out = e;
    return DEFT_OK;
}

/* What follows a value: .name, (arguments), [index]. */
static deft_status parse_postfix(ts_parser *p, ts_expr **out)
{
    deft_status s = parse_atom(p, out);
    for (int32_t n = 0; s == DEFT_OK; n++) {
        const bool dot = ts_take_mark(p, "."), call = !dot && ts_take_mark(p, "(");
        const bool index = !dot && !call && ts_take_mark(p, "[");
        if (!dot && !call && !index) return DEFT_OK;
        if (n == TS_MAX_NESTING) return ts_expected(p, "a shorter chain of attributes and calls");
        ts_expr *e = ts_new_expr(p, dot ? TS_E_ATTR : call ? TS_E_CALL : TS_E_INDEX);
        if (!e) return ts_parse_no_memory(p);
        e->a = *out;
        *out = e;
        if (!dot) {
            s = parse_items(p, e, call ? ")" : "]");
            if (s == DEFT_OK && index && e->n == 0) return ts_expected(p, "an index");
            continue;
        }
        if (ts_peek(p)->kind != TS_T_NAME) return ts_expected(p, "a name after '.'");
        e->s = ts_peek(p)->s;
        p->at++;
    }
    return s;
}

deft_status ts_parse_expr(ts_parser *p, ts_expr **out)
{
    if (p->nesting == TS_MAX_NESTING) return ts_expected(p, "less nested brackets");
    p->nesting++;
    ts_expr *minus = NULL;
    deft_status s = DEFT_OK;
    if (ts_take_mark(p, "-")) {
        minus = ts_new_expr(p, TS_E_NEG);
        s = minus ? parse_postfix(p, &minus->a) : ts_parse_no_memory(p);
        *out = minus;
    } else {
        s = parse_postfix(p, out);
    }
    p->nesting--;
    return s;
}

deft_status ts_parse_exprs(ts_parser *p, ts_expr **out)
{
    deft_status s = ts_parse_expr(p, out);
    if (s != DEFT_OK || !is_mark(ts_peek(p), ",")) return s;
    ts_expr *tuple = ts_new_expr(p, TS_E_TUPLE);
    if (!tuple) return ts_parse_no_memory(p);
    s = ts_push_expr(p, tuple, *out, NULL);
    while (s == DEFT_OK && ts_take_mark(p, ",")) {
        if (is_mark(ts_peek(p), "=") || ts_peek(p)->kind == TS_T_NEWLINE) break;
        ts_expr *item = NULL;
        s = ts_parse_expr(p, &item);
        if (s == DEFT_OK) s = ts_push_expr(p, tuple, item, NULL);
    }
    *out = tuple;
    return s;
}
