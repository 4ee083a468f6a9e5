/* torch_eval.c - the expressions of a TorchScript program: names, attributes, and calls of
 * operators, functions and methods. */
#include "formats/torch_script.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool ts_dotted(const ts_expr *e, char *buf, size_t n)
{
    const char *part[TS_MAX_NESTING + 1];
    int32_t k = 0;
    for (; e->kind == TS_E_ATTR && k < TS_MAX_NESTING; e = e->a) part[k++] = e->s;
    if (e->kind != TS_E_NAME) return false;
    size_t at = 0;
    for (part[k] = e->s; k >= 0; k--) {
        const size_t len = strlen(part[k]);
        if (at + len + 2 > n) return false;
        memcpy(buf + at, part[k], len);
        at += len;
        buf[at++] = k ? '.' : '\0';
    }
    return true;
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* --- names ----------------------------------------------------------------------------------- */

static deft_status named_constant(ts *l, const char *name, ts_value *out)
{
    static const struct {
        const char *name;
        double f;
    } numbers[] = {
        {"inf", HUGE_VAL}, {"nan", (double)NAN}, {"math.inf", HUGE_VAL}, {"math.nan", (double)NAN}};
    if (strcmp(name, "None") == 0) return *out = ts_none(), DEFT_OK;
    if (strcmp(name, "True") == 0) return *out = ts_bool(true), DEFT_OK;
    if (strcmp(name, "False") == 0) return *out = ts_bool(false), DEFT_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0) return *out = ts_float(numbers[i].f), DEFT_OK;
    if (begins(name, "__torch__.")) {
        out->kind = TS_FUNCTION;
        out->as.s = deft_arena_strndup(l->a, name, strlen(name));
        return out->as.s ? DEFT_OK : ts_no_memory(l);
    }
    char text[200];
    return ts_fail(l, DEFT_E_UNSUPPORTED, "'%s' is not known",
                   deft_escape(text, sizeof text, name, 1024));
}

/* CONSTANTS.c12 */
static deft_status archive_constant(ts *l, const char *name, ts_value *out)
{
    pickle_value *all = l->p->constants;
    size_t i = 0;
    int end = 0;
    const bool list = all && (all->kind == PICKLE_TUPLE || all->kind == PICKLE_LIST);
    if (!list || name[0] != 'c' || name[1] < '0' || name[1] > '9' ||
        sscanf(name + 1, "%zu%n", &i, &end) != 1 || name[1 + end] || i >= all->as.list.n)
        return ts_fail(l, DEFT_E_FORMAT, "the archive has no constant '%s'", name);
    const char *path = deft_arena_printf(l->a, "CONSTANTS.%s", name);
    return path ? ts_stored_value(l, all->as.list.item[i], path, true, out) : ts_no_memory(l);
}

static deft_status eval_attr(ts *l, ts_frame *f, const ts_expr *e, ts_value *out)
{
    char name[512];
    ts_value o;
    const ts_expr *root = e;
    while (root->kind == TS_E_ATTR) root = root->a;
    const bool free = root->kind == TS_E_NAME && !ts_get_local(f, root->s, &o);
    if (free) {
        if (!ts_dotted(e, name, sizeof name))
            return ts_fail(l, DEFT_E_UNSUPPORTED, "a name that is too long");
        if (begins(name, "CONSTANTS.")) return archive_constant(l, name + 10, out);
        return named_constant(l, name, out);
    }
    const deft_status s = ts_eval(l, f, e->a, &o);
    if (s != DEFT_OK) return s;
    if (o.kind == TS_OBJECT) return ts_get_attr(l, o.as.object, e->s, out);
    return ts_fail(l, DEFT_E_UNSUPPORTED, "attribute '%s' of %s is not known", e->s,
                   ts_kind_name(o.kind));
}

static deft_status eval_index(ts *l, ts_frame *f, const ts_expr *e, ts_value *out)
{
    ts_value o, key;
    int64_t i = 0;
    deft_status s = ts_eval(l, f, e->a, &o);
    if (s == DEFT_OK) s = ts_eval(l, f, e->item[0], &key);
    if (s != DEFT_OK) return s;
    if (o.kind == TS_DICT) {
        bool same = false;
        for (int32_t k = 0; s == DEFT_OK && k + 1 < o.as.list->n; k += 2) {
            s = ts_same(l, &o.as.list->item[k], &key, &same);
            *out = o.as.list->item[k + 1];
            if (same) return s;
        }
        return s == DEFT_OK ? ts_fail(l, DEFT_E_FORMAT, "a dict has not this key") : s;
    }
    if (o.kind != TS_TUPLE && o.kind != TS_LIST)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "an index into %s", ts_kind_name(o.kind));
    s = ts_to_int(l, &key, &i);
    if (s != DEFT_OK) return s;
    if (i < 0) i += o.as.list->n;
    if (i < 0 || i >= o.as.list->n)
        return ts_fail(l, DEFT_E_FORMAT, "index %lld of %s of %d", (long long)i,
                       ts_kind_name(o.kind), (int)o.as.list->n);
    *out = o.as.list->item[i];
    return DEFT_OK;
}

static deft_status eval_items(ts *l, ts_frame *f, const ts_expr *e, ts_value *out)
{
    ts_list *list = ts_new_list(l, e->n);
    deft_status s = DEFT_OK;
    if (!list) return l->err->status;
    for (int32_t i = 0; s == DEFT_OK && i < e->n; i++) {
        s = ts_eval(l, f, e->item[i], &list->item[i]);
        list->n = i + 1;
    }
    out->kind = e->kind == TS_E_TUPLE ? TS_TUPLE : e->kind == TS_E_LIST ? TS_LIST : TS_DICT;
    out->as.list = list;
    return s;
}

static deft_status eval_minus(ts *l, ts_frame *f, const ts_expr *e, ts_value *out)
{
    const deft_status s = ts_eval(l, f, e->a, out);
    if (s != DEFT_OK) return s;
    if (out->kind == TS_INT && out->as.i > INT64_MIN)
        out->as.i = -out->as.i;
    else if (out->kind == TS_FLOAT)
        out->as.f = -out->as.f;
    else
        return ts_fail(l, DEFT_E_UNSUPPORTED, "'-' before %s", ts_kind_name(out->kind));
    return DEFT_OK;
}

static deft_status eval(ts *l, ts_frame *f, const ts_expr *e, ts_value *out)
{
    switch (e->kind) {
    case TS_E_NAME:
        return ts_get_local(f, e->s, out) ? DEFT_OK : named_constant(l, e->s, out);
    case TS_E_INT:
        return *out = ts_int(e->i), DEFT_OK;
    case TS_E_FLOAT:
        return *out = ts_float(e->f), DEFT_OK;
    case TS_E_STRING:
        out->kind = TS_STRING;
        out->as.s = e->s;
        return DEFT_OK;
    case TS_E_ATTR:
        return eval_attr(l, f, e, out);
    case TS_E_INDEX:
        return eval_index(l, f, e, out);
    case TS_E_TUPLE:
    case TS_E_LIST:
    case TS_E_DICT:
        return eval_items(l, f, e, out);
    case TS_E_NEG:
        return eval_minus(l, f, e, out);
    default:
        return ts_eval_call(l, f, e, out);
    }
}

deft_status ts_eval(ts *l, ts_frame *f, const ts_expr *e, ts_value *out)
{
    *out = ts_none();
    deft_status s = ts_enter(l);
    if (s == DEFT_OK) s = eval(l, f, e, out);
    ts_leave(l);
    return s;
}

/* --- calls ----------------------------------------------------------------------------------- */

/* annotate(T, x), unchecked_cast(T, x): x; uninitialized(T): nothing that may be read. */
static bool special_form(ts *l, ts_frame *f, const ts_expr *e, ts_value *out, deft_status *s)
{
    const char *name = e->a->s;
    ts_value o, key;
    if ((strcmp(name, "annotate") == 0 || strcmp(name, "unchecked_cast") == 0) && e->n == 2) {
        *s = ts_eval(l, f, e->item[1], out);
        return true;
    }
    if (strcmp(name, "uninitialized") == 0) {
        *out = (ts_value){.kind = TS_UNSET};
        *s = DEFT_OK;
        return true;
    }
    if (strcmp(name, "getattr") != 0 || e->n != 2) return false;
    *s = ts_eval(l, f, e->item[0], &o);
    if (*s == DEFT_OK) *s = ts_eval(l, f, e->item[1], &key);
    if (*s != DEFT_OK) return true;
    *s = o.kind == TS_OBJECT && key.kind == TS_STRING
             ? ts_get_attr(l, o.as.object, key.as.s, out)
             : ts_fail(l, DEFT_E_UNSUPPORTED, "getattr of %s", ts_kind_name(o.kind));
    return true;
}

/* Where argument k of the call goes: its number among the names, -1: nowhere. */
static int32_t place_of(const char *params, const char *key)
{
    const size_t len = strlen(key);
    int32_t i = 0;
    for (const char *s = params; *s; i++) {
        const size_t n = strcspn(s, " ");
        if (n == len && strncmp(s, key, n) == 0) return i;
        s += n;
        while (*s == ' ') s++;
    }
    return -1;
}

static deft_status unknown(ts *l, const char *name)
{
    static const char *const random[] = {"rand",        "normal",      "bernoulli",
                                         "multinomial", "exponential", "uniform"};
    char text[160];
    (void)deft_escape(text, sizeof text, begins(name, "python.") ? name + 7 : name, 256);
    const char *prefix = begins(name, "python.") || strchr(name, '.') ? "" : "torch.";
    for (size_t i = 0; i < sizeof random / sizeof random[0]; i++)
        if (begins(name, random[i]))
            return ts_fail(l, DEFT_E_UNSUPPORTED,
                           "%s%s draws random numbers: export the deterministic action", prefix,
                           text);
    return ts_fail(l, DEFT_E_UNSUPPORTED, "%s%s is not known", prefix, text);
}

static deft_status call_op(ts *l, ts_frame *f, const ts_expr *e, const char *name, ts_value *out)
{
    char base[128];
    const ts_op *op = ts_find_op(name);
    const size_t len = strlen(name);
    const bool in_place = !op && len > 1 && len < sizeof base && name[len - 1] == '_';
    if (in_place) {
        (void)snprintf(base, sizeof base, "%.*s", (int)(len - 1), name);
        op = ts_find_op(base);
        if (op && ts_moves(op)) op = NULL; // what changes shapes in place
    }
    if (!op) return unknown(l, name);
    ts_args a = {.op = op};
    for (int32_t i = 0; i < e->n; i++) {
        const int32_t at = e->key[i] ? place_of(op->params, e->key[i]) : i;
        if (at < 0 || at >= TS_MAX_ARGS)
            return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s with %s%s is not known", op->name,
                           e->key[i] ? "an argument " : "so many arguments",
                           e->key[i] ? e->key[i] : "");
        const deft_status s = ts_eval(l, f, e->item[i], &a.v[at]);
        if (s != DEFT_OK) return s;
        a.given[at] = true;
        if (at >= a.n) a.n = at + 1;
    }
    l->line = e->line;
    const deft_status s = op->run(l, &a, out);
    if (s != DEFT_OK || !in_place) return s;
    if (!ts_is_tensor(&a, 0) || out->kind != TS_TENSOR)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s of %s", name, ts_kind_name(a.v[0].kind));
    const ts_value self = a.v[0];
    const deft_status w = ts_write(l, self.as.t, ts_read(l, out->as.t));
    *out = self;
    return w;
}

static deft_status call_function(ts *l, ts_frame *f, const ts_expr *e, const ts_function *fn,
                                 ts_object *self, ts_value *out)
{
    enum { MOST = 64 };
    ts_value arg[MOST];
    int32_t n = self != NULL;
    for (int32_t i = 0; i < MOST; i++) arg[i] = (ts_value){.kind = TS_UNSET};
    if (self) arg[0] = (ts_value){.kind = TS_OBJECT, .as.object = self};
    for (int32_t i = 0; i < e->n; i++) {
        int32_t at = i + (self != NULL);
        for (int32_t k = 0; e->key[i] && k < fn->n_param; k++)
            if (strcmp(fn->param[k].name, e->key[i]) == 0) at = k;
        if (at >= MOST || at >= fn->n_param)
            return ts_fail(l, DEFT_E_FORMAT, "'%s' has too many arguments", fn->name);
        const deft_status s = ts_eval(l, f, e->item[i], &arg[at]);
        if (s != DEFT_OK) return s;
        if (at >= n) n = at + 1;
    }
    l->line = e->line;
    return ts_call(l, fn, self, arg, n, out);
}

static deft_status call_named(ts *l, ts_frame *f, const ts_expr *e, const char *name, ts_value *out)
{
    const ts_function *fn = NULL;
    const deft_status s = ts_find_function(l->p, name, &fn);
    if (s != DEFT_OK) return s;
    if (fn) return call_function(l, f, e, fn, NULL, out);
    char text[200];
    return ts_fail(l, DEFT_E_UNSUPPORTED, "'%s' cannot be called: it is no function of the archive",
                   deft_escape(text, sizeof text, name, 512));
}

static deft_status call_method(ts *l, ts_frame *f, const ts_expr *e, ts_value *out)
{
    ts_value o;
    const deft_status s = ts_eval(l, f, e->a->a, &o);
    if (s != DEFT_OK) return s;
    if (o.kind != TS_OBJECT)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "method '%s' of %s is not known", e->a->s,
                       ts_kind_name(o.kind));
    const ts_class *c = NULL;
    const deft_status found = ts_find_class(l->p, o.as.object->type, &c);
    if (found != DEFT_OK) return found;
    const ts_function *fn = ts_method(c, e->a->s);
    char text[200];
    if (!fn)
        return ts_fail(l, DEFT_E_FORMAT, "class '%s' has no method '%s'",
                       deft_escape(text, sizeof text, o.as.object->type, 512), e->a->s);
    return call_function(l, f, e, fn, o.as.object, out);
}

deft_status ts_eval_call(ts *l, ts_frame *f, const ts_expr *e, ts_value *out)
{
    char name[512];
    ts_value v;
    deft_status s = DEFT_OK;
    l->line = e->line;
    if (e->a->kind == TS_E_NAME) {
        if (ts_get_local(f, e->a->s, &v)) {
            if (v.kind == TS_FUNCTION) return call_named(l, f, e, v.as.s, out);
            return ts_fail(l, DEFT_E_UNSUPPORTED, "%s is called", ts_kind_name(v.kind));
        }
        if (special_form(l, f, e, out, &s)) return s;
        (void)snprintf(name, sizeof name, "python.%s", e->a->s);
        return call_op(l, f, e, name, out);
    }
    const ts_expr *root = e->a;
    while (root->kind == TS_E_ATTR) root = root->a;
    const bool free = e->a->kind == TS_E_ATTR && root->kind == TS_E_NAME &&
                      !ts_get_local(f, root->s, &v) && ts_dotted(e->a, name, sizeof name);
    if (free && begins(name, "torch.")) return call_op(l, f, e, name + 6, out);
    if (free && begins(name, "ops.aten.")) return call_op(l, f, e, name + 9, out);
    if (free && begins(name, "ops.")) return call_op(l, f, e, name + 4, out);
    if (free && begins(name, "__torch__.")) return call_named(l, f, e, name, out);
    if (e->a->kind == TS_E_ATTR && !free) return call_method(l, f, e, out);
    return ts_fail(l, DEFT_E_UNSUPPORTED, "what is called is no function");
}
