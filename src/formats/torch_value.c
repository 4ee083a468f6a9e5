/* torch_value.c - the values of a TorchScript program that are no tensors; errors that say where.
 */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

deft_status ts_fail(ts *l, deft_status s, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return l->file ? deft_fail(l->err, s, "%s:%d: %s", l->file, (int)l->line, text)
                   : deft_fail(l->err, s, "%s", text);
}

deft_status ts_no_memory(ts *l)
{
    return ts_fail(l, DEFT_E_SPACE, "the program takes more memory than a policy may");
}

deft_status ts_charge(ts *l, int64_t work)
{
    if (work < 0 || work > l->p->work)
        return ts_fail(l, DEFT_E_RANGE, "the program computes more than a policy may");
    l->p->work -= work;
    return DEFT_OK;
}

const char *ts_kind_name(ts_kind k)
{
    static const char *const name[] = {
        "None",   "a bool", "an int",   "a float",    "a string", "a tensor",      "a tuple",
        "a list", "a dict", "a module", "a function", "a device", "an unset value"};
    return name[k];
}

ts_value ts_none(void)
{
    return (ts_value){.kind = TS_NONE};
}

ts_value ts_bool(bool v)
{
    return (ts_value){.kind = TS_BOOL, .as.i = v};
}

ts_value ts_int(int64_t v)
{
    return (ts_value){.kind = TS_INT, .as.i = v};
}

ts_value ts_float(double v)
{
    return (ts_value){.kind = TS_FLOAT, .as.f = v};
}

ts_value ts_of(ts_tensor *t)
{
    return (ts_value){.kind = TS_TENSOR, .as.t = t};
}

ts_list *ts_new_list(ts *l, int32_t n)
{
    if (n > TS_MAX_LIST) {
        (void)ts_fail(l, DEFT_E_RANGE, "a list of more than %d items", TS_MAX_LIST);
        return NULL;
    }
    ts_list *list = DEFT_NEW(l->a, ts_list);
    ts_value *item = DEFT_NEW_ARRAY(l->a, ts_value, n);
    if (!list || !item) {
        (void)ts_no_memory(l);
        return NULL;
    }
    *list = (ts_list){.item = item, .room = n};
    return list;
}

deft_status ts_push(ts *l, ts_list *list, ts_value v)
{
    if (list->n == list->room) {
        if (list->n >= TS_MAX_LIST)
            return ts_fail(l, DEFT_E_RANGE, "a list of more than %d items", TS_MAX_LIST);
        const int32_t room = list->room ? 2 * list->room : 4;
        ts_value *more = DEFT_NEW_ARRAY(l->a, ts_value, room);
        if (!more) return ts_no_memory(l);
        if (list->n) memcpy(more, list->item, (size_t)list->n * sizeof *more);
        list->item = more;
        list->room = room;
    }
    list->item[list->n++] = v;
    return DEFT_OK;
}

/* The one element of a tensor that depends on nothing. */
static deft_status element(ts *l, const ts_value *v, double *f, int64_t *i)
{
    const int32_t edge = ts_read(l, v->as.t);
    if (edge < 0) return l->err->status;
    const deft_tensor *t = l->edge[edge].t;
    if (!l->edge[edge].constant)
        return ts_fail(l, DEFT_E_UNSUPPORTED,
                       "the program's course depends on what it computes (a tensor becomes a "
                       "number): use torch.where and the like");
    if (t->count != 1)
        return ts_fail(l, DEFT_E_FORMAT, "a tensor of %lld elements is taken for a number",
                       (long long)t->count);
    *f = op_get_f64(t, 0);
    *i = op_get_i64(t, 0);
    return DEFT_OK;
}

deft_status ts_to_int(ts *l, const ts_value *v, int64_t *out)
{
    double f = 0;
    switch (v->kind) {
    case TS_INT:
    case TS_BOOL:
        *out = v->as.i;
        return DEFT_OK;
    case TS_FLOAT:
        if (!(v->as.f > -9e18 && v->as.f < 9e18))
            return ts_fail(l, DEFT_E_RANGE, "%g is no int", v->as.f);
        *out = (int64_t)v->as.f;
        return DEFT_OK;
    case TS_TENSOR:
        return element(l, v, &f, out);
    default:
        return ts_fail(l, DEFT_E_FORMAT, "expected an int, not %s", ts_kind_name(v->kind));
    }
}

deft_status ts_to_float(ts *l, const ts_value *v, double *out)
{
    int64_t i = 0;
    switch (v->kind) {
    case TS_INT:
    case TS_BOOL:
        *out = (double)v->as.i;
        return DEFT_OK;
    case TS_FLOAT:
        *out = v->as.f;
        return DEFT_OK;
    case TS_TENSOR:
        return element(l, v, out, &i);
    default:
        return ts_fail(l, DEFT_E_FORMAT, "expected a number, not %s", ts_kind_name(v->kind));
    }
}

deft_status ts_truth(ts *l, const ts_value *v, bool *out)
{
    double f = 0;
    switch (v->kind) {
    case TS_NONE:
        *out = false;
        return DEFT_OK;
    case TS_STRING:
        *out = v->as.s[0] != '\0';
        return DEFT_OK;
    case TS_LIST:
    case TS_TUPLE:
    case TS_DICT:
        *out = v->as.list->n > 0;
        return DEFT_OK;
    default: {
        const deft_status s = ts_to_float(l, v, &f);
        *out = f != 0;
        return s;
    }
    }
}

int32_t ts_to_ints(ts *l, const ts_value *v, int64_t *out, int32_t most)
{
    const bool several = v->kind == TS_LIST || v->kind == TS_TUPLE;
    const int32_t n = several ? v->as.list->n : 1;
    if (n > most) {
        (void)ts_fail(l, DEFT_E_RANGE, "a list of more than %d numbers", (int)most);
        return -1;
    }
    for (int32_t i = 0; i < n; i++)
        if (ts_to_int(l, several ? &v->as.list->item[i] : v, &out[i]) != DEFT_OK) return -1;
    return n;
}

static bool is_number(const ts_value *v)
{
    return v->kind == TS_INT || v->kind == TS_FLOAT || v->kind == TS_BOOL;
}

static deft_status same_items(ts *l, const ts_list *a, const ts_list *b, bool *out)
{
    deft_status s = ts_enter(l);
    *out = a->n == b->n;
    for (int32_t i = 0; s == DEFT_OK && *out && i < a->n; i++)
        s = ts_same(l, &a->item[i], &b->item[i], out);
    ts_leave(l);
    return s;
}

deft_status ts_same(ts *l, const ts_value *a, const ts_value *b, bool *out)
{
    *out = false;
    if (is_number(a) && is_number(b)) {
        const double x = a->kind == TS_FLOAT ? a->as.f : (double)a->as.i;
        const double y = b->kind == TS_FLOAT ? b->as.f : (double)b->as.i;
        *out = a->kind == TS_FLOAT || b->kind == TS_FLOAT ? x == y : a->as.i == b->as.i;
        return DEFT_OK;
    }
    if (a->kind != b->kind) return DEFT_OK;
    switch (a->kind) {
    case TS_NONE:
        *out = true;
        return DEFT_OK;
    case TS_STRING:
    case TS_DEVICE:
    case TS_FUNCTION:
        *out = strcmp(a->as.s, b->as.s) == 0;
        return DEFT_OK;
    case TS_LIST:
    case TS_TUPLE:
        return same_items(l, a->as.list, b->as.list, out);
    case TS_OBJECT:
        *out = a->as.object == b->as.object;
        return DEFT_OK;
    default:
        return ts_fail(l, DEFT_E_UNSUPPORTED, "%s is compared", ts_kind_name(a->kind));
    }
}

/* --- dtypes, attributes ---------------------------------------------------------------------- */

static const struct {
    int64_t torch;
    deft_dtype deft;
} dtypes[] = {
    {6, DEFT_F32}, {7, DEFT_F32}, {5, DEFT_F32}, {15, DEFT_F32}, {4, DEFT_I64},
    {3, DEFT_I32}, {2, DEFT_I16}, {1, DEFT_I8},  {0, DEFT_U8},   {11, DEFT_BOOL},
};

int64_t ts_torch_dtype(deft_dtype t)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (dtypes[i].deft == t) return dtypes[i].torch;
    return -1;
}

deft_dtype ts_deft_dtype(int64_t t)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (dtypes[i].torch == t) return dtypes[i].deft;
    return (deft_dtype)0;
}

deft_attr ts_attr_int(const char *name, int64_t v)
{
    return (deft_attr){.name = name, .kind = DEFT_ATTR_INT, .i = v};
}

deft_attr ts_attr_float(const char *name, double v)
{
    return (deft_attr){.name = name, .kind = DEFT_ATTR_FLOAT, .f = (float)v};
}
