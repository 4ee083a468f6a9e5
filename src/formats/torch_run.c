/* torch_run.c - the statements of a TorchScript program. Branches are taken and loops unrolled by
 * what is known without observations. Depth is bounded, and steps are. */
#include "formats/torch_script.h"

#include <string.h>

enum { MAX_LOCALS = 8192, MAX_ROUNDS = 65536 };

deft_status ts_enter(ts *l)
{
    l->depth++;
    if (l->depth > TS_MAX_DEPTH)
        return ts_fail(l, DEFT_E_RANGE, "calls and expressions are nested deeper than %d",
                       TS_MAX_DEPTH);
    if (l->p->steps-- > 0) return DEFT_OK;
    return ts_fail(l, DEFT_E_RANGE, "the program takes more steps than a policy may");
}

void ts_leave(ts *l)
{
    l->depth--;
}

/* --- variables ------------------------------------------------------------------------------- */

bool ts_get_local(const ts_frame *f, const char *name, ts_value *out)
{
    for (int32_t i = f->n - 1; i >= 0; i--) {
        if (f->name[i] != name) continue;
        *out = f->value[i];
        return true;
    }
    return false;
}

deft_status ts_set_local(ts *l, ts_frame *f, const char *name, const ts_value *v)
{
    for (int32_t i = f->n - 1; i >= 0; i--) {
        if (f->name[i] != name) continue;
        f->value[i] = *v;
        return DEFT_OK;
    }
    if (f->n == f->room) {
        const int32_t room = f->room ? 2 * f->room : 16;
        if (room > MAX_LOCALS) return ts_fail(l, DEFT_E_RANGE, "too many variables");
        const char **name_more = DEFT_NEW_ARRAY(l->a, const char *, room);
        ts_value *more = DEFT_NEW_ARRAY(l->a, ts_value, room);
        if (!name_more || !more) return ts_no_memory(l);
        if (f->n) {
            memcpy((void *)name_more, (const void *)f->name, (size_t)f->n * sizeof *name_more);
            memcpy(more, f->value, (size_t)f->n * sizeof *more);
        }
        f->name = name_more;
        f->value = more;
        f->room = room;
    }
    f->name[f->n] = name;
    f->value[f->n++] = *v;
    return DEFT_OK;
}

/* --- statements ------------------------------------------------------------------------------ */

static deft_status run_block(ts *l, ts_frame *f, const ts_stmt *s);

static deft_status assign_to(ts *l, ts_frame *f, const ts_expr *to, const ts_value *v)
{
    ts_value o, key;
    if (to->kind == TS_E_NAME) return ts_set_local(l, f, to->s, v);
    if (to->kind == TS_E_ATTR) {
        const deft_status s = ts_eval(l, f, to->a, &o);
        if (s != DEFT_OK) return s;
        if (o.kind != TS_OBJECT)
            return ts_fail(l, DEFT_E_UNSUPPORTED, "sets an attribute of %s", ts_kind_name(o.kind));
        return ts_set_attr(l, o.as.object, to->s, v);
    }
    if (to->kind != TS_E_INDEX)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "assigns to what is no variable");
    int64_t i = 0;
    deft_status s = ts_eval(l, f, to->a, &o);
    if (s == DEFT_OK) s = ts_eval(l, f, to->item[0], &key);
    if (s != DEFT_OK) return s;
    if (o.kind != TS_LIST)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "sets an item of %s", ts_kind_name(o.kind));
    s = ts_to_int(l, &key, &i);
    if (s != DEFT_OK) return s;
    if (i < 0) i += o.as.list->n;
    if (i < 0 || i >= o.as.list->n) return ts_fail(l, DEFT_E_FORMAT, "an index is out of range");
    o.as.list->item[i] = *v;
    o.as.list->changed = true;
    return DEFT_OK;
}

static deft_status assign(ts *l, ts_frame *f, const ts_expr *to, const ts_value *v)
{
    if (to->kind != TS_E_TUPLE) return assign_to(l, f, to, v);
    if ((v->kind != TS_TUPLE && v->kind != TS_LIST) || v->as.list->n != to->n)
        return ts_fail(l, DEFT_E_FORMAT, "%s is unpacked into %d variables", ts_kind_name(v->kind),
                       (int)to->n);
    deft_status s = DEFT_OK;
    for (int32_t i = 0; s == DEFT_OK && i < to->n; i++)
        s = assign_to(l, f, to->item[i], &v->as.list->item[i]);
    return s;
}

static deft_status run_if(ts *l, ts_frame *f, const ts_stmt *s)
{
    ts_value c;
    bool truth = false;
    deft_status r = ts_eval(l, f, s->value, &c);
    l->line = s->line;
    if (r == DEFT_OK) r = ts_truth(l, &c, &truth);
    return r == DEFT_OK ? run_block(l, f, truth ? s->body : s->otherwise) : r;
}

/* for i in range(...), or over a list. */
static deft_status run_for(ts *l, ts_frame *f, const ts_stmt *s)
{
    ts_value over;
    const ts_expr *e = s->value;
    int64_t bound[3] = {0, 0, 1};
    deft_status r = DEFT_OK;
    const bool range = e->kind == TS_E_CALL && e->a->kind == TS_E_NAME && e->n >= 1 && e->n <= 3 &&
                       strcmp(e->a->s, "range") == 0;
    for (int32_t i = 0; range && r == DEFT_OK && i < e->n; i++) {
        r = ts_eval(l, f, e->item[i], &over);
        if (r == DEFT_OK) r = ts_to_int(l, &over, &bound[e->n == 1 ? 1 : i]);
    }
    if (!range) r = ts_eval(l, f, e, &over);
    if (r != DEFT_OK) return r;
    if (!range && over.kind != TS_LIST && over.kind != TS_TUPLE)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "a loop over %s", ts_kind_name(over.kind));
    if (!range) bound[1] = over.as.list->n;
    if (bound[2] == 0) return ts_fail(l, DEFT_E_FORMAT, "a range with steps of 0");
    int64_t i = bound[0];
    for (int32_t n = 0; r == DEFT_OK && !f->returned; n++) {
        if (bound[2] > 0 ? i >= bound[1] : i <= bound[1]) return DEFT_OK;
        if (n == MAX_ROUNDS || i > INT64_MAX / 2 || i < INT64_MIN / 2)
            return ts_fail(l, DEFT_E_RANGE, "a loop of more than %d rounds", MAX_ROUNDS);
        if (!range && i >= over.as.list->n) return DEFT_OK; // the body took from it
        const ts_value v = range ? ts_int(i) : over.as.list->item[i];
        r = assign(l, f, s->target, &v);
        if (r == DEFT_OK) r = run_block(l, f, s->body);
        i += bound[2] > INT64_MAX / 4    ? INT64_MAX / 4
             : bound[2] < -INT64_MAX / 4 ? -INT64_MAX / 4
                                         : bound[2];
    }
    return r;
}

static deft_status run_stmt(ts *l, ts_frame *f, const ts_stmt *s)
{
    ts_value v = ts_none();
    deft_status r = DEFT_OK;
    l->line = s->line;
    switch (s->kind) {
    case TS_S_EXPR:
        return ts_eval(l, f, s->value, &v);
    case TS_S_ASSIGN:
    case TS_S_DECLARE:
        if (!s->value) return DEFT_OK;
        r = ts_eval(l, f, s->value, &v);
        return r == DEFT_OK ? assign(l, f, s->target, &v) : r;
    case TS_S_IF:
        return run_if(l, f, s);
    case TS_S_FOR:
        return run_for(l, f, s);
    case TS_S_RETURN:
        if (s->value) r = ts_eval(l, f, s->value, &f->result);
        f->returned = true;
        return r;
    case TS_S_WHILE:
        return ts_fail(l, DEFT_E_UNSUPPORTED, "while loops are not read");
    default:
        return DEFT_OK;
    }
}

static deft_status run_block(ts *l, ts_frame *f, const ts_stmt *s)
{
    deft_status r = ts_enter(l);
    for (; r == DEFT_OK && s && !f->returned; s = s->next) {
        r = ts_enter(l);
        if (r == DEFT_OK) r = run_stmt(l, f, s);
        ts_leave(l);
    }
    ts_leave(l);
    return r;
}

/* --- functions ------------------------------------------------------------------------------- */

static deft_status bind(ts *l, const ts_function *f, ts_frame *frame, const ts_value *arg,
                        int32_t n)
{
    if (n > f->n_param)
        return ts_fail(l, DEFT_E_FORMAT, "'%s' takes %d arguments, not %d", f->name,
                       (int)f->n_param, (int)n);
    deft_status s = DEFT_OK;
    for (int32_t i = 0; s == DEFT_OK && i < f->n_param; i++) {
        ts_value v;
        if (i < n && arg[i].kind != TS_UNSET) {
            v = arg[i];
        } else if (f->param[i].otherwise) {
            s = ts_eval(l, frame, f->param[i].otherwise, &v);
            if (s != DEFT_OK) return s;
        } else {
            return ts_fail(l, DEFT_E_FORMAT, "'%s' is called without its argument '%s'", f->name,
                           f->param[i].name);
        }
        s = ts_set_local(l, frame, f->param[i].name, &v);
    }
    return s;
}

/* arg[i] of kind UNSET: its default. */
deft_status ts_call(ts *l, const ts_function *f, ts_object *self, const ts_value *arg, int32_t n,
                    ts_value *out)
{
    const char *const file = l->file, *const path = l->path;
    const int32_t line = l->line;
    ts_frame frame = {.result = ts_none()};
    deft_status s = ts_enter(l);
    l->file = f->file;
    if (s == DEFT_OK) {
        l->line = f->line;
        if (self) l->path = self->path;
        s = bind(l, f, &frame, arg, n);
    }
    if (s == DEFT_OK) s = run_block(l, &frame, f->body);
    ts_leave(l);
    if (s != DEFT_OK) return s; // the error's place stays
    *out = frame.result;
    l->file = file;
    l->path = path;
    l->line = line;
    return DEFT_OK;
}
