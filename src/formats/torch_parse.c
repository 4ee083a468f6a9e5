/* torch_parse.c - statements, functions and classes of TorchScript. */
#include "formats/torch_script.h"

#include <string.h>

static deft_status parse_block(ts_parser *p, ts_stmt **out);

static deft_status end_of_line(ts_parser *p)
{
    if (ts_peek(p)->kind != TS_T_NEWLINE) return ts_expected(p, "the end of the line");
    p->at++;
    return DEFT_OK;
}

static ts_stmt *new_stmt(ts_parser *p, ts_stmt_kind kind)
{
    ts_stmt *s = DEFT_NEW(p->a, ts_stmt);
    if (!s) return NULL;
    s->kind = kind;
    s->line = ts_peek(p)->line;
    return s;
}

static deft_status parse_if(ts_parser *p, ts_stmt *s)
{
    deft_status r = ts_parse_expr(p, &s->value);
    if (r == DEFT_OK) r = parse_block(p, &s->body);
    if (r != DEFT_OK) return r;
    if (ts_take_word(p, "else")) return parse_block(p, &s->otherwise);
    if (!ts_take_word(p, "elif")) return DEFT_OK;
    if (p->nesting == TS_MAX_NESTING) return ts_expected(p, "fewer branches");
    s->otherwise = new_stmt(p, TS_S_IF);
    if (!s->otherwise) return ts_parse_no_memory(p);
    p->nesting++;
    r = parse_if(p, s->otherwise);
    p->nesting--;
    return r;
}

static deft_status parse_for(ts_parser *p, ts_stmt *s)
{
    deft_status r = ts_parse_expr(p, &s->target);
    if (r != DEFT_OK) return r;
    if (!ts_take_word(p, "in")) return ts_expected(p, "'in'");
    r = ts_parse_expr(p, &s->value);
    return r == DEFT_OK ? parse_block(p, &s->body) : r;
}

/* An expression, an assignment or a declaration. */
static deft_status parse_simple(ts_parser *p, ts_stmt *s)
{
    deft_status r = ts_parse_exprs(p, &s->target);
    if (r == DEFT_OK && ts_take_mark(p, ":")) {
        s->kind = TS_S_DECLARE;
        r = ts_parse_expr(p, &s->type);
    }
    if (r == DEFT_OK && ts_take_mark(p, "=")) {
        if (s->kind == TS_S_EXPR) s->kind = TS_S_ASSIGN;
        r = ts_parse_exprs(p, &s->value);
    } else if (r == DEFT_OK && s->kind == TS_S_EXPR) {
        s->value = s->target;
        s->target = NULL;
    }
    return r == DEFT_OK ? end_of_line(p) : r;
}

static deft_status parse_stmt(ts_parser *p, ts_stmt **out)
{
    ts_stmt *s = new_stmt(p, TS_S_EXPR);
    *out = s;
    if (!s) return ts_parse_no_memory(p);
    if (ts_take_word(p, "if")) {
        s->kind = TS_S_IF;
        return parse_if(p, s);
    }
    if (ts_take_word(p, "for")) {
        s->kind = TS_S_FOR;
        return parse_for(p, s);
    }
    if (ts_take_word(p, "while")) {
        s->kind = TS_S_WHILE;
        const deft_status r = ts_parse_expr(p, &s->value);
        return r == DEFT_OK ? parse_block(p, &s->body) : r;
    }
    if (ts_take_word(p, "pass")) {
        s->kind = TS_S_PASS;
        return end_of_line(p);
    }
    if (ts_take_word(p, "return")) {
        s->kind = TS_S_RETURN;
        if (ts_peek(p)->kind == TS_T_NEWLINE) return end_of_line(p);
        const deft_status r = ts_parse_exprs(p, &s->value);
        return r == DEFT_OK ? end_of_line(p) : r;
    }
    return parse_simple(p, s);
}

/* ": NEWLINE INDENT statements DEDENT"; *out stays NULL for an empty one. */
static deft_status parse_block(ts_parser *p, ts_stmt **out)
{
    if (!ts_take_mark(p, ":")) return ts_expected(p, "':'");
    deft_status s = end_of_line(p);
    if (s != DEFT_OK) return s;
    if (ts_peek(p)->kind != TS_T_INDENT) return ts_expected(p, "an indented block");
    if (p->nesting == TS_MAX_NESTING) return ts_expected(p, "less nested blocks");
    p->at++;
    p->nesting++;
    while (s == DEFT_OK && ts_peek(p)->kind != TS_T_DEDENT) {
        if (ts_peek(p)->kind == TS_T_END) return ts_expected(p, "a statement");
        s = parse_stmt(p, out);
        if (s == DEFT_OK) out = &(*out)->next;
    }
    p->nesting--;
    if (s == DEFT_OK) p->at++;
    return s;
}

static deft_status parse_param(ts_parser *p, ts_param *out)
{
    if (ts_peek(p)->kind != TS_T_NAME) return ts_expected(p, "the name of a parameter");
    out->name = ts_peek(p)->s;
    p->at++;
    ts_expr *e = NULL;
    deft_status s = DEFT_OK;
    if (ts_take_mark(p, ":")) s = ts_parse_expr(p, &e);
    out->type = e;
    if (s != DEFT_OK || !ts_take_mark(p, "=")) return s;
    s = ts_parse_expr(p, &e);
    out->otherwise = e;
    return s;
}

static deft_status parse_params(ts_parser *p, ts_function *f)
{
    enum { MOST = 64 };
    f->param = DEFT_NEW_ARRAY(p->a, ts_param, MOST);
    if (!f->param) return ts_parse_no_memory(p);
    if (!ts_take_mark(p, "(")) return ts_expected(p, "'('");
    while (!ts_take_mark(p, ")")) {
        if (f->n_param == MOST) return ts_expected(p, "fewer parameters");
        const deft_status s = parse_param(p, &f->param[f->n_param++]);
        if (s != DEFT_OK) return s;
        if (ts_take_mark(p, ",")) continue;
        if (!ts_take_mark(p, ")")) return ts_expected(p, "',' or ')'");
        break;
    }
    return DEFT_OK;
}

static deft_status parse_function(ts_parser *p, ts_function **out)
{
    ts_function *f = DEFT_NEW(p->a, ts_function);
    if (!f) return ts_parse_no_memory(p);
    *out = f;
    f->line = ts_peek(p)->line;
    f->file = p->text->name;
    if (ts_peek(p)->kind != TS_T_NAME) return ts_expected(p, "the name of a function");
    f->name = ts_peek(p)->s;
    p->at++;
    deft_status s = parse_params(p, f);
    ts_expr *result = NULL;
    if (s == DEFT_OK && ts_take_mark(p, "->")) s = ts_parse_expr(p, &result);
    f->result = result;
    return s == DEFT_OK ? parse_block(p, &f->body) : s;
}

static deft_status parse_members(ts_parser *p, ts_class *c)
{
    ts_function **method = &c->method;
    ts_stmt **field = &c->field;
    deft_status s = DEFT_OK;
    while (s == DEFT_OK && ts_peek(p)->kind != TS_T_DEDENT) {
        if (ts_peek(p)->kind == TS_T_END) return ts_expected(p, "a member of the class");
        if (ts_take_word(p, "def")) {
            s = parse_function(p, method);
            if (s == DEFT_OK) method = &(*method)->next;
        } else {
            s = parse_stmt(p, field);
            if (s == DEFT_OK) field = &(*field)->next;
        }
    }
    if (s == DEFT_OK) p->at++;
    return s;
}

static deft_status parse_class(ts_parser *p, ts_class **out)
{
    ts_class *c = DEFT_NEW(p->a, ts_class);
    if (!c) return ts_parse_no_memory(p);
    *out = c;
    c->line = ts_peek(p)->line;
    c->file = p->text->name;
    if (ts_peek(p)->kind != TS_T_NAME) return ts_expected(p, "the name of a class");
    c->name = ts_peek(p)->s;
    p->at++;
    if (ts_take_mark(p, "(")) {
        ts_expr *base = NULL;
        const deft_status s = ts_parse_expr(p, &base);
        if (s != DEFT_OK) return s;
        if (!ts_take_mark(p, ")")) return ts_expected(p, "')'");
    }
    if (!ts_take_mark(p, ":")) return ts_expected(p, "':'");
    const deft_status s = end_of_line(p);
    if (s != DEFT_OK) return s;
    if (ts_peek(p)->kind != TS_T_INDENT) return DEFT_OK; // a class without members
    p->at++;
    return parse_members(p, c);
}

deft_status ts_parse(const ts_text *t, ts_names *names, deft_arena *a, ts_file *out,
                     deft_error *err)
{
    ts_parser p = {.text = t, .names = names, .a = a, .err = err};
    ts_class **type = &out->type;
    ts_function **function = &out->function;
    deft_status s = DEFT_OK;
    while (s == DEFT_OK && ts_peek(&p)->kind != TS_T_END) {
        if (ts_peek(&p)->kind == TS_T_NEWLINE) {
            p.at++;
        } else if (ts_take_word(&p, "class")) {
            s = parse_class(&p, type);
            if (s == DEFT_OK) type = &(*type)->next;
        } else if (ts_take_word(&p, "def")) {
            s = parse_function(&p, function);
            if (s == DEFT_OK) function = &(*function)->next;
        } else if (ts_take_word(&p, "op_version_set") || ts_take_word(&p, "import")) {
            while (ts_peek(&p)->kind != TS_T_NEWLINE) p.at++; // of archives from PyTorch 1.4 on
        } else {
            s = ts_expected(&p, "'class' or 'def'");
        }
    }
    return s;
}
