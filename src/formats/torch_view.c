/* torch_view.c - tensors of a TorchScript program: views of others, and writing into them.
 *
 * A view knows which elements of its base it is. Writing into it puts them into the base, and all
 * other views of that base are made anew when they are read next. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <string.h>

ts_tensor *ts_wrap(ts *l, int32_t edge)
{
    if (edge < 0) return NULL;
    ts_tensor *t = DEFT_NEW(l->a, ts_tensor);
    if (!t) return (void)ts_no_memory(l), NULL;
    *t = (ts_tensor){.value = edge, .flat = -1};
    return t;
}

const deft_tensor *ts_shape(const ts *l, const ts_tensor *t)
{
    return t->map ? t->map : l->edge[t->value].t;
}

/* The elements of a tensor that owns them, in a row. */
static int32_t flat(ts *l, ts_tensor *base)
{
    const deft_tensor *t = l->edge[base->value].t;
    if (t->rank == 1) return base->value;
    if (base->flat < 0 || base->flat_version != base->version) {
        base->flat = ts_reshape(l, base->value, 1, &t->count);
        base->flat_version = base->version;
    }
    return base->flat;
}

/* Is it all of its base, in order? */
static bool is_whole(const ts *l, const ts_tensor *t)
{
    if (t->map->count != l->edge[t->base->value].t->count) return false;
    for (int64_t k = 0; k < t->map->count; k++)
        if (((const int64_t *)t->map->data)[k] != k) return false;
    return true;
}

int32_t ts_read(ts *l, ts_tensor *t)
{
    if (t->origin && t->origin->version != t->origin_version)
        return (void)ts_fail(l, DEFT_E_UNSUPPORTED,
                             "reads a tensor whose original was changed, and which may be a view "
                             "of it"),
               -1;
    if (!t->base || (t->value >= 0 && t->version == t->base->version)) return t->value;
    t->version = t->base->version;
    if (is_whole(l, t)) {
        t->value = ts_reshape(l, t->base->value, t->map->rank, t->map->dim);
    } else {
        const int32_t all = flat(l, t->base), at = ts_constant(l, t->map, NULL);
        const deft_attr attr[] = {ts_attr_int("axis", 0), {0}};
        t->value = ts_emit(l, "Gather", 2, (const int32_t[]){all, at}, attr);
    }
    return t->value;
}

const deft_tensor *ts_sample(ts *l, ts_tensor *t)
{
    const int32_t edge = ts_read(l, t);
    return edge < 0 ? NULL : l->edge[edge].t;
}

/* --- views ----------------------------------------------------------------------------------- */

/* The numbers of t's elements in its base. */
static const deft_tensor *numbers(ts *l, const ts_tensor *t)
{
    if (t->map) return t->map;
    const deft_tensor *shape = l->edge[t->value].t;
    deft_tensor *map = DEFT_NEW(l->a, deft_tensor);
    if (!map || deft_tensor_init(map, DEFT_I64, shape->rank, shape->dim, l->a) != DEFT_OK)
        return (void)ts_no_memory(l), NULL;
    if (ts_charge(l, map->count) != DEFT_OK) return NULL;
    for (int64_t k = 0; k < map->count; k++) ((int64_t *)map->data)[k] = k;
    return map;
}

static ts_tensor *view_of(ts *l, ts_tensor *t, const deft_tensor *map)
{
    ts_tensor *v = DEFT_NEW(l->a, ts_tensor);
    if (!v) return (void)ts_no_memory(l), NULL;
    *v = (ts_tensor){.base = t->base ? t->base : t, .map = map, .value = -1, .flat = -1};
    return v;
}

ts_tensor *ts_view(ts *l, ts_tensor *t, const char *op, const deft_tensor *with,
                   const deft_attr *attr)
{
    const deft_tensor *in[2] = {numbers(l, t), with};
    if (!in[0]) return NULL;
    int32_t n_attr = 0;
    while (attr && attr[n_attr].name) n_attr++;
    const deft_node node = {.name = "",
                            .op = op,
                            .n_in = with ? 2 : 1,
                            .n_out = 1,
                            .in = (const int32_t[]){0, 1},
                            .out = (const int32_t[]){2},
                            .n_attr = n_attr,
                            .attr = attr};
    deft_tensor *map = DEFT_NEW(l->a, deft_tensor);
    if (!map) return (void)ts_no_memory(l), NULL;
    deft_error err = {0};
    const deft_status s = deft_op_run(&node, &(deft_op_env){TS_OPSET, l->a, NULL}, in, map, &err);
    if (s != DEFT_OK) return (void)ts_fail(l, s, "%s: %s", op, err.text), NULL;
    if (ts_charge(l, map->count) != DEFT_OK) return NULL;
    return view_of(l, t, map);
}

ts_tensor *ts_view_at(ts *l, ts_tensor *t, const deft_tensor *at)
{
    const deft_tensor *of = numbers(l, t);
    deft_tensor *map = DEFT_NEW(l->a, deft_tensor);
    if (!of) return NULL;
    if (!map || deft_tensor_init(map, DEFT_I64, at->rank, at->dim, l->a) != DEFT_OK)
        return (void)ts_no_memory(l), NULL;
    if (ts_charge(l, at->count) != DEFT_OK) return NULL;
    for (int64_t k = 0; k < at->count; k++)
        ((int64_t *)map->data)[k] = ((const int64_t *)of->data)[((const int64_t *)at->data)[k]];
    return view_of(l, t, map);
}

ts_tensor *ts_reshaped(ts *l, ts_tensor *t, int32_t rank, const int64_t *dim)
{
    const deft_tensor *of = numbers(l, t);
    deft_tensor *map = of ? DEFT_NEW(l->a, deft_tensor) : NULL;
    if (!of) return NULL;
    if (!map) return (void)ts_no_memory(l), NULL;
    *map = *of;
    map->rank = rank;
    if (rank) memcpy(map->dim, dim, (size_t)rank * sizeof *dim);
    return view_of(l, t, map);
}

bool ts_in_rows(const ts_tensor *t)
{
    for (int64_t k = 1; t->map && k < t->map->count; k++) {
        const int64_t *at = t->map->data;
        if (at[k] != at[k - 1] + 1) return false;
    }
    return true;
}

ts_tensor *ts_reshaped_copy(ts *l, ts_tensor *t, int32_t rank, const int64_t *dim)
{
    if (ts_in_rows(t)) return ts_reshaped(l, t, rank, dim);
    ts_tensor *copy = ts_wrap(l, ts_reshape(l, ts_read(l, t), rank, dim));
    if (!copy) return NULL;
    copy->origin = t->base ? t->base : t;
    copy->origin_version = copy->origin->version;
    return copy;
}

/* Elements from, from + step, ... before to along an axis; bounds were cut already. */
ts_tensor *ts_slice(ts *l, ts_tensor *t, int32_t axis, const int64_t from_to_step[3])
{
    const deft_tensor *of = numbers(l, t);
    deft_tensor *map = of ? DEFT_NEW(l->a, deft_tensor) : NULL;
    if (!of) return NULL;
    const int64_t from = from_to_step[0], step = from_to_step[2];
    const int64_t n = from_to_step[1] > from ? (from_to_step[1] - from + step - 1) / step : 0;
    int64_t dim[DEFT_MAX_RANK];
    memcpy(dim, of->dim, sizeof dim);
    dim[axis] = n;
    if (!map || deft_tensor_init(map, DEFT_I64, of->rank, dim, l->a) != DEFT_OK)
        return (void)ts_no_memory(l), NULL;
    if (ts_charge(l, map->count) != DEFT_OK) return NULL;
    const int64_t inner = op_product(of, axis + 1, of->rank);
    if (n < 1 || inner < 1) return view_of(l, t, map);
    for (int64_t k = 0; k < map->count; k++) {
        const int64_t in = k % inner, at = k / inner % n, out = k / inner / n;
        ((int64_t *)map->data)[k] =
            ((const int64_t *)of->data)[(out * of->dim[axis] + from + at * step) * inner + in];
    }
    return view_of(l, t, map);
}

/* --- writing --------------------------------------------------------------------------------- */

/* A tensor that shares elements with another attribute would change it too. */
static deft_status check_alone(ts *l, const ts_tensor *base)
{
    if (!base->view) return DEFT_OK;
    for (int32_t i = 0; i < l->p->n_stored; i++) {
        const torch_view *v = l->p->stored[i].view;
        if (l->p->stored[i].constants || v == base->view ||
            strcmp(v->storage->key, base->view->storage->key) != 0)
            continue;
        if (v->offset == base->view->offset && v->rank == base->view->rank &&
            memcmp(v->size, base->view->size, (size_t)v->rank * sizeof v->size[0]) == 0)
            continue;
        return ts_fail(l, DEFT_E_UNSUPPORTED,
                       "writes into '%s', which shares its elements with another tensor",
                       base->path ? base->path : "");
    }
    return DEFT_OK;
}

/* The base with elements `map` replaced; -1 after ts_fail. */
static int32_t scatter(ts *l, ts_tensor *t, int32_t edge)
{
    ts_tensor *base = t->base;
    const deft_tensor *whole = l->edge[base->value].t;
    bool *seen = DEFT_NEW_ARRAY(l->a, bool, whole->count);
    if (!seen) return (void)ts_no_memory(l), -1;
    for (int64_t k = 0; k < t->map->count; k++) {
        const int64_t at = ((const int64_t *)t->map->data)[k];
        if (seen[at])
            return (void)ts_fail(l, DEFT_E_UNSUPPORTED, "writes twice into one element"), -1;
        seen[at] = true;
    }
    deft_tensor *row = deft_arena_copy(l->a, t->map, sizeof *t->map);
    if (!row) return (void)ts_no_memory(l), -1;
    row->rank = 1;
    row->dim[0] = row->count;
    const int32_t in[3] = {flat(l, base), ts_constant(l, row, NULL),
                           ts_reshape(l, edge, 1, &row->count)};
    const deft_attr attr[] = {ts_attr_int("axis", 0), {0}};
    return ts_reshape(l, ts_emit(l, "ScatterElements", 3, in, attr), whole->rank, whole->dim);
}

deft_status ts_write(ts *l, ts_tensor *t, int32_t edge)
{
    if (edge < 0) return l->err->status;
    ts_tensor *base = t->base ? t->base : t;
    const deft_tensor *shape = ts_shape(l, t), *whole = l->edge[base->value].t;
    if (base->origin)
        return ts_fail(l, DEFT_E_UNSUPPORTED,
                       "writes into a tensor that may be a view of another or a copy");
    const deft_status s = check_alone(l, base);
    if (s != DEFT_OK) return s;
    int32_t rank = 0;
    int64_t dim[DEFT_MAX_RANK];
    deft_error err = {0};
    const op_ctx c = {.err = &err};
    const bool fits = op_broadcast(&c, shape, l->edge[edge].t, &rank, dim) == DEFT_OK &&
                      rank == shape->rank &&
                      memcmp(dim, shape->dim, (size_t)rank * sizeof dim[0]) == 0;
    if (!fits) return ts_fail(l, DEFT_E_FORMAT, "what is written in place has another shape");
    edge = ts_expand(l, ts_cast(l, edge, whole->dtype), shape->rank, shape->dim);
    if (edge < 0) return l->err->status;
    if (t->base)
        edge = is_whole(l, t) ? ts_reshape(l, edge, whole->rank, whole->dim) : scatter(l, t, edge);
    if (edge < 0) return l->err->status;
    base->value = edge;
    base->version++;
    base->written = true;
    return DEFT_OK;
}
