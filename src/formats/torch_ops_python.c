/* torch_ops_python.c - what TorchScript programs do with numbers, strings and lists. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static deft_status give(ts_value v, ts_value *out)
{
    *out = v;
    return DEFT_OK;
}

/* --- conversions ----------------------------------------------------------------------------- */

static deft_status to_int(ts *l, ts_args *a, ts_value *out)
{
    int64_t v = 0;
    const deft_status s = ts_to_int(l, &a->v[0], &v);
    return s == DEFT_OK ? give(ts_int(v), out) : s;
}

static deft_status to_float(ts *l, ts_args *a, ts_value *out)
{
    double v = 0;
    const deft_status s = ts_to_float(l, &a->v[0], &v);
    return s == DEFT_OK ? give(ts_float(v), out) : s;
}

static deft_status to_bool(ts *l, ts_args *a, ts_value *out)
{
    bool v = false;
    const deft_status s = ts_truth(l, &a->v[0], &v);
    return s == DEFT_OK ? give(ts_bool(v), out) : s;
}

static deft_status negate(ts *l, ts_args *a, ts_value *out)
{
    bool v = false;
    const deft_status s = ts_truth(l, &a->v[0], &v);
    return s == DEFT_OK ? give(ts_bool(!v), out) : s;
}

/* A number of whatever type a tensor has. */
static deft_status item(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_dtype type = l->edge[t->base ? t->base->value : t->value].t->dtype;
    return op_is_float(type) ? to_float(l, a, out) : to_int(l, a, out);
}

static deft_status to_text(ts *l, ts_args *a, ts_value *out)
{
    (void)a;
    out->kind = TS_STRING;
    out->as.s = deft_arena_strndup(l->a, "?", 1); // only messages are made of it
    return out->as.s ? DEFT_OK : ts_no_memory(l);
}

static deft_status number_tensor(ts *l, ts_args *a, ts_value *out)
{
    return ts_give(l, ts_arg_edge(l, a, 0), out);
}

static deft_status first(ts *l, ts_args *a, ts_value *out)
{
    (void)l;
    return give(a->v[0], out);
}

/* A copy of a list. */
static deft_status to_list(ts *l, ts_args *a, ts_value *out)
{
    if (a->v[0].kind != TS_LIST && a->v[0].kind != TS_TUPLE)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "a list of %s", ts_kind_name(a->v[0].kind));
    const ts_list *from = a->v[0].as.list;
    ts_list *list = ts_new_list(l, from->n);
    if (!list) return l->err->status;
    if (from->n) memcpy(list->item, from->item, (size_t)from->n * sizeof *list->item);
    list->n = from->n;
    out->kind = TS_LIST;
    out->as.list = list;
    return DEFT_OK;
}

static deft_status not_none(ts *l, ts_args *a, ts_value *out)
{
    if (a->v[0].kind == TS_NONE) return ts_fail(l, DEFT_E_FORMAT, "None where a value is needed");
    return give(a->v[0], out);
}

/* --- comparisons that are never of elements -------------------------------------------------- */

static deft_status is(ts *l, ts_args *a, ts_value *out)
{
    bool same = false;
    deft_status s = DEFT_OK;
    const bool none = a->v[0].kind == TS_NONE || a->v[1].kind == TS_NONE;
    if (none)
        same = a->v[0].kind == a->v[1].kind;
    else if (a->v[0].kind == TS_TENSOR && a->v[1].kind == TS_TENSOR)
        same = a->v[0].as.t == a->v[1].as.t;
    else
        s = ts_same(l, &a->v[0], &a->v[1], &same);
    return s == DEFT_OK ? give(ts_bool(same == (a->op->with == NULL)), out) : s;
}

static deft_status contains(ts *l, ts_args *a, ts_value *out)
{
    const ts_kind k = a->v[0].kind;
    if (k != TS_LIST && k != TS_TUPLE && k != TS_DICT)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "'in' of %s", ts_kind_name(k));
    bool same = false;
    deft_status s = DEFT_OK;
    for (int32_t i = 0; s == DEFT_OK && !same && i < a->v[0].as.list->n; i += k == TS_DICT ? 2 : 1)
        s = ts_same(l, &a->v[0].as.list->item[i], &a->v[1], &same);
    return s == DEFT_OK ? give(ts_bool(same), out) : s;
}

static deft_status logic(ts *l, ts_args *a, ts_value *out)
{
    bool x = false, y = false;
    deft_status s = ts_truth(l, &a->v[0], &x);
    if (s == DEFT_OK) s = ts_truth(l, &a->v[1], &y);
    return s == DEFT_OK ? give(ts_bool(a->op->with[0] == '&' ? x && y : x || y), out) : s;
}

/* --- lists ----------------------------------------------------------------------------------- */

static deft_status length(ts *l, ts_args *a, ts_value *out)
{
    const ts_value *v = &a->v[0];
    if (v->kind == TS_TENSOR) {
        const deft_tensor *t = ts_shape(l, v->as.t);
        return t->rank ? give(ts_int(t->dim[0]), out)
                       : ts_fail(l, DEFT_E_FORMAT, "the length of a number");
    }
    if (v->kind == TS_STRING) return give(ts_int((int64_t)strlen(v->as.s)), out);
    if (v->kind != TS_LIST && v->kind != TS_TUPLE && v->kind != TS_DICT)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "the length of %s", ts_kind_name(v->kind));
    return give(ts_int(v->as.list->n / (v->kind == TS_DICT ? 2 : 1)), out);
}

static deft_status append(ts *l, ts_args *a, ts_value *out)
{
    if (a->v[0].kind != TS_LIST)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "append to %s", ts_kind_name(a->v[0].kind));
    *out = a->v[0];
    a->v[0].as.list->changed = true;
    return ts_push(l, a->v[0].as.list, a->v[1]);
}

static deft_status get_item(ts *l, ts_args *a, ts_value *out)
{
    int64_t i = 0;
    if (a->v[0].kind != TS_LIST && a->v[0].kind != TS_TUPLE)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "an item of %s", ts_kind_name(a->v[0].kind));
    const deft_status s = ts_to_int(l, &a->v[1], &i);
    if (s != DEFT_OK) return s;
    const ts_list *list = a->v[0].as.list;
    if (i < 0) i += list->n;
    if (i < 0 || i >= list->n) return ts_fail(l, DEFT_E_FORMAT, "an index is out of range");
    return give(list->item[i], out);
}

static deft_status set_item(ts *l, ts_args *a, ts_value *out)
{
    int64_t i = 0;
    if (a->v[0].kind != TS_LIST)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "sets an item of %s", ts_kind_name(a->v[0].kind));
    const deft_status s = ts_to_int(l, &a->v[1], &i);
    if (s != DEFT_OK) return s;
    ts_list *list = a->v[0].as.list;
    if (i < 0) i += list->n;
    if (i < 0 || i >= list->n) return ts_fail(l, DEFT_E_FORMAT, "an index is out of range");
    list->item[i] = a->v[2];
    list->changed = true;
    return give(a->v[0], out);
}

static deft_status clear(ts *l, ts_args *a, ts_value *out)
{
    if (a->v[0].kind != TS_LIST)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "clears %s", ts_kind_name(a->v[0].kind));
    a->v[0].as.list->n = 0;
    a->v[0].as.list->changed = true;
    return give(ts_none(), out);
}

/* --- about tensors --------------------------------------------------------------------------- */

static deft_status size(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    int32_t d = 0;
    if (ts_has(a, 1)) {
        s = ts_arg_dim(l, a, 1, shape, &d);
        if (s == DEFT_OK && shape->rank == 0)
            s = ts_fail(l, DEFT_E_FORMAT, "a dimension of a number");
        return s == DEFT_OK ? give(ts_int(shape->dim[d]), out) : s;
    }
    ts_list *list = ts_new_list(l, shape->rank);
    if (!list) return l->err->status;
    for (d = 0; d < shape->rank; d++) list->item[list->n++] = ts_int(shape->dim[d]);
    out->kind = TS_LIST;
    out->as.list = list;
    return DEFT_OK;
}

/* dim, numel, dtype, is_floating_point. */
static deft_status fact(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    const deft_dtype type = l->edge[t->base ? t->base->value : t->value].t->dtype;
    switch (a->op->with[0]) {
    case 'd':
        return give(ts_int(shape->rank), out);
    case 'n':
        return give(ts_int(shape->count), out);
    case 'f':
        return give(ts_bool(op_is_float(type)), out);
    default:
        return give(ts_int(ts_torch_dtype(type)), out);
    }
}

static deft_status device(ts *l, ts_args *a, ts_value *out)
{
    (void)l;
    (void)a;
    out->kind = TS_DEVICE;
    out->as.s = "cpu"; // all of a policy is on one
    return DEFT_OK;
}

/* What is the same for every policy: no gradients, no GPU, no tracing. */
static deft_status constant(ts *l, ts_args *a, ts_value *out)
{
    (void)l;
    switch (a->op->with[0]) {
    case 'i':
        return give(ts_int(a->op->with[1] - '0'), out);
    case 'n':
        return give(ts_none(), out);
    default:
        return give(ts_bool(a->op->with[0] == 't'), out);
    }
}

static deft_status raise(ts *l, ts_args *a, ts_value *out)
{
    (void)out;
    char text[200] = "";
    if (a->v[0].kind == TS_STRING) (void)deft_escape(text, sizeof text, a->v[0].as.s, 512);
    return ts_fail(l, DEFT_E_FORMAT, "the program raises an exception: %s", text);
}

/* --- arithmetic of numbers ------------------------------------------------------------------- */

static deft_status extreme(ts *l, ts_args *a, ts_value *out)
{
    double x = 0, y = 0;
    deft_status s = ts_to_float(l, &a->v[0], &x);
    if (s == DEFT_OK) s = ts_to_float(l, &a->v[1], &y);
    if (s != DEFT_OK) return s;
    const ts_value v = (x < y) == (a->op->with[0] == '<') ? a->v[0] : a->v[1];
    const bool real = a->v[0].kind == TS_FLOAT || a->v[1].kind == TS_FLOAT;
    if (!real) return give(v, out);
    s = ts_to_float(l, &v, &x);
    return s == DEFT_OK ? give(ts_float(x), out) : s;
}

static deft_status floor_divide(ts *l, ts_args *a, ts_value *out)
{
    if (a->v[0].kind == TS_FLOAT || a->v[1].kind == TS_FLOAT) {
        double x = 0, y = 0;
        deft_status s = ts_to_float(l, &a->v[0], &x);
        if (s == DEFT_OK) s = ts_to_float(l, &a->v[1], &y);
        return s == DEFT_OK ? give(ts_float(floor(x / y)), out) : s;
    }
    int64_t x = 0, y = 0;
    deft_status s = ts_to_int(l, &a->v[0], &x);
    if (s == DEFT_OK) s = ts_to_int(l, &a->v[1], &y);
    if (s != DEFT_OK) return s;
    if (y == 0 || (x == INT64_MIN && y == -1)) return ts_fail(l, DEFT_E_FORMAT, "divides by zero");
    const int64_t q = x / y;
    return give(ts_int(x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q), out);
}

static deft_status remainder_of(ts *l, ts_args *a, ts_value *out)
{
    int64_t x = 0, y = 0;
    if (a->v[0].kind != TS_INT || a->v[1].kind != TS_INT)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.remainder of %s", ts_kind_name(a->v[0].kind));
    x = a->v[0].as.i;
    y = a->v[1].as.i;
    if (y == 0 || (x == INT64_MIN && y == -1)) return ts_fail(l, DEFT_E_FORMAT, "divides by zero");
    const int64_t r = x % y;
    return give(ts_int(r != 0 && (r < 0) != (y < 0) ? r + y : r), out);
}

/* Number i of a range: start + i * step; and how many there are. */
static deft_status derive_index(ts *l, ts_args *a, ts_value *out)
{
    int64_t v[3] = {0, 0, 0};
    for (int32_t i = 0; i < 3; i++) {
        const deft_status s = ts_to_int(l, &a->v[i], &v[i]);
        if (s != DEFT_OK) return s;
        if (v[i] > INT32_MAX || v[i] < INT32_MIN) return ts_fail(l, DEFT_E_RANGE, "a long range");
    }
    if (!a->op->with) return give(ts_int(v[1] + v[0] * v[2]), out);
    if (v[2] == 0) return ts_fail(l, DEFT_E_FORMAT, "a range with steps of 0");
    const int64_t span = v[2] > 0 ? v[1] - v[0] : v[0] - v[1], step = v[2] > 0 ? v[2] : -v[2];
    return give(ts_int(span > 0 ? (span + step - 1) / step : 0), out);
}

const ts_op ts_ops_python[] = {
    {"python.int", "a", to_int, NULL},
    {"python.float", "a", to_float, NULL},
    {"python.bool", "a", to_bool, NULL},
    {"python.str", "a", to_text, NULL},
    {"python.len", "a", length, NULL},
    {"python.list", "a", to_list, NULL},
    {"Int", "a", to_int, NULL},
    {"Float", "a", to_float, NULL},
    {"Bool", "a", to_bool, NULL},
    {"IntImplicit", "a", to_int, NULL},
    {"FloatImplicit", "a", to_float, NULL},
    {"ScalarImplicit", "a", item, NULL},
    {"item", "self", item, NULL},
    {"__not__", "a", negate, NULL},
    {"__is__", "a b", is, NULL},
    {"__isnot__", "a b", is, "not"},
    {"__contains__", "l e", contains, NULL},
    {"python.__and__", "a b", logic, "&"},
    {"python.__or__", "a b", logic, "|"},
    {"len", "a", length, NULL},
    {"list", "l", to_list, NULL},
    {"append", "l e", append, NULL},
    {"__getitem__", "l i", get_item, NULL},
    {"_set_item", "l i v", set_item, NULL},
    {"clear", "l", clear, NULL},
    {"format", "f a b c d e g h", to_text, NULL},
    {"str", "a", to_text, NULL},
    {"size", "self dim", size, NULL},
    {"dim", "self", fact, "d"},
    {"ndimension", "self", fact, "d"},
    {"numel", "self", fact, "n"},
    {"is_floating_point", "self", fact, "f"},
    {"prim.dtype", "a", fact, "t"},
    {"prim.device", "a", device, NULL},
    {"device", "a", device, NULL},
    {"prim.layout", "a", constant, "i0"},
    {"prim.is_cuda", "a", constant, "f"},
    {"prim.requires_grad", "a", constant, "f"},
    {"is_grad_enabled", "", constant, "f"},
    {"prim.is_grad_enabled", "", constant, "f"},
    {"set_grad_enabled", "a", constant, "n"},
    {"prim.is_tracing", "", constant, "f"},
    {"is_autocast_enabled", "", constant, "f"},
    {"prim.is_scripting", "", constant, "t"},
    {"get_default_dtype", "", constant, "i6"},
    {"prim.NumToTensor", "a", number_tensor, NULL},
    {"prim.unchecked_unwrap_optional", "a", not_none, NULL},
    {"_unwrap_optional", "a", not_none, NULL},
    {"prim.unchecked_cast", "a", first, NULL},
    {"prim.data", "a", first, NULL},
    {"prim.RaiseException", "msg cls", raise, NULL},
    {"prim.min", "a b", extreme, "<"},
    {"prim.max", "a b", extreme, ">"},
    {"__derive_index", "i start step", derive_index, NULL},
    {"__range_length", "start end step", derive_index, "n"},
    {"floordiv", "a b", floor_divide, NULL},
    {"remainder", "a b", remainder_of, NULL},
    {"warn", "message stacklevel", constant, "n"},
    {"manual_seed", "a", constant, "n"},
    {NULL, NULL, NULL, NULL},
};
