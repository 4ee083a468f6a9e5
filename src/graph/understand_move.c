/* understand_move.c - operators that move elements: run on numbers of elements instead. */
#include "graph/understand.h"

#include <string.h>

/* Which inputs hold elements; the others say where these go and must be constant. */
typedef struct mover {
    const char *op;
    uint32_t data; // bit i: input i; all bits: every input
} mover;

static const mover movers[] = {
    {"Reshape", 1},         {"Flatten", 1},   {"Squeeze", 1},  {"Unsqueeze", 1},
    {"Transpose", 1},       {"Split", 1},     {"Expand", 1},   {"Tile", 1},
    {"Slice", 1},           {"Gather", 1},    {"GatherND", 1}, {"GatherElements", 1},
    {"ScatterElements", 5}, {"ScatterND", 5}, {"Where", 6},    {"Concat", UINT32_MAX},
};

typedef struct moved {
    const und_ref **part; // [n_part] elements of the operands one after the other
    int64_t *start;
    int32_t n_part;
    int64_t n;
} moved;

static uint32_t data_inputs(const char *op)
{
    for (size_t i = 0; i < sizeof movers / sizeof movers[0]; i++)
        if (strcmp(movers[i].op, op) == 0) return movers[i].data;
    return 1;
}

/* An operand with the numbers of its elements in place of the elements. */
static deft_status number(und *u, int32_t value, moved *m, deft_tensor *out)
{
    const deft_tensor *shape = und_shape(u, value);
    const und_ref *e = und_elements(u, value);
    if (!e || deft_tensor_init(out, DEFT_I64, shape->rank, shape->dim, u->a) != DEFT_OK)
        return und_no_memory(u);
    for (int64_t k = 0; k < out->count; k++) ((int64_t *)out->data)[k] = m->n + k;
    m->part[m->n_part] = e;
    m->start[m->n_part++] = m->n;
    m->n += out->count;
    return DEFT_OK;
}

static und_ref lookup(const moved *m, int64_t index)
{
    int32_t lo = 0, hi = m->n_part - 1;
    while (lo < hi) { // the last part that starts at or before index
        const int32_t mid = (lo + hi + 1) / 2;
        if (m->start[mid] <= index)
            lo = mid;
        else
            hi = mid - 1;
    }
    return m->part[lo][index - m->start[lo]];
}

static deft_status deliver(und *u, int32_t k, const moved *m, const deft_tensor *out)
{
    const deft_node *n = &u->g->node[k];
    deft_dtype dtype = DEFT_F32;
    const uint32_t data = data_inputs(n->op);
    for (int32_t i = 0; i < n->n_in && i < 32; i++)
        if ((data >> i & 1) && n->in[i] >= 0) dtype = und_shape(u, n->in[i])->dtype;
    for (int32_t i = 0; i < n->n_out; i++) {
        if (n->out[i] < 0 || !out[i].data) continue;
        const deft_status s = und_count(u, k, out[i].count);
        if (s != DEFT_OK) return s;
        und_ref *e = DEFT_NEW_ARRAY(u->a, und_ref, out[i].count);
        if (!e) return und_no_memory(u);
        for (int64_t j = 0; j < out[i].count; j++)
            e[j] = lookup(m, ((const int64_t *)out[i].data)[j]);
        deft_tensor shape = out[i];
        shape.dtype = dtype;
        und_set(u, k, i, &shape, e);
    }
    return DEFT_OK;
}

static bool reduces(const deft_node *n)
{
    const deft_attr *a = deft_node_attr(n, "reduction");
    return a && a->kind == DEFT_ATTR_STRING && strcmp(a->s, "none") != 0;
}

deft_status und_move(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const uint32_t data = data_inputs(n->op);
    const deft_tensor **in = DEFT_NEW_ARRAY(u->a, const deft_tensor *, n->n_in);
    deft_tensor *numbered = DEFT_NEW_ARRAY(u->a, deft_tensor, n->n_in);
    deft_tensor *out = DEFT_NEW_ARRAY(u->a, deft_tensor, n->n_out);
    moved m = {.part = DEFT_NEW_ARRAY(u->a, const und_ref *, n->n_in),
               .start = DEFT_NEW_ARRAY(u->a, int64_t, n->n_in)};
    if (!in || !numbered || !out || !m.part || !m.start) return und_no_memory(u);
    if (reduces(n)) return und_bad(u, k, "scatters with a reduction are not supported");
    for (int32_t i = 0; i < n->n_in; i++) {
        if (n->in[i] < 0) continue;
        if (data == UINT32_MAX || (i < 32 && (data >> i & 1))) {
            const deft_status s = number(u, n->in[i], &m, &numbered[i]);
            if (s != DEFT_OK) return s;
            in[i] = &numbered[i];
        } else {
            in[i] = u->value[n->in[i]].t;
            if (!in[i]) return und_bad(u, k, "input %d depends on the observations", (int)i);
        }
    }
    deft_error e = {0};
    const deft_status s = deft_op_run(n, &(deft_op_env){u->g->opset, u->a, &u->work}, in, out, &e);
    if (s == DEFT_E_SPACE) return und_fail(u, k, s, "%s", e.text);
    if (s != DEFT_OK) return und_bad(u, k, "%s", e.text);
    return deliver(u, k, &m, out);
}

static deft_status pass_through(und *u, int32_t k)
{
    const und_value *x = und_in(u, k, 0);
    if (!x) return und_bad(u, k, "input 0 is missing");
    und_set(u, k, 0, &x->shape, x->e);
    return DEFT_OK;
}

static deft_status dropout(und *u, int32_t k)
{
    const und_value *training = und_in(u, k, 2);
    if (training &&
        (!training->t || training->t->count != 1 || *(const uint8_t *)training->t->data != 0))
        return und_bad(u, k, "drops out in training mode");
    return pass_through(u, k);
}

static bool is_integer(deft_dtype t)
{
    return t != DEFT_F32 && t != DEFT_F64 && t != DEFT_F16;
}

/* Between floating point types, and from integers to them, nothing changes (float64 is not kept).
 */
static deft_status cast(und *u, int32_t k)
{
    const und_value *x = und_in(u, k, 0);
    if (!x || !x->e) return und_bad(u, k, "input 0 is missing");
    static const deft_dtype by_onnx[] = {
        [1] = DEFT_F32,  [2] = DEFT_U8,   [3] = DEFT_I8,   [4] = DEFT_U16,  [5] = DEFT_I16,
        [6] = DEFT_I32,  [7] = DEFT_I64,  [9] = DEFT_BOOL, [10] = DEFT_F32, [11] = DEFT_F64,
        [12] = DEFT_U32, [13] = DEFT_U64, [16] = DEFT_F32,
    };
    const int64_t to = deft_node_int(&u->g->node[k], "to", 0);
    const und_value *like = und_in(u, k, 1);
    deft_dtype dtype =
        to >= 0 && to < (int64_t)(sizeof by_onnx / sizeof by_onnx[0]) ? by_onnx[to] : (deft_dtype)0;
    if (like) dtype = und_shape(u, u->g->node[k].in[1])->dtype;
    if (!dtype) return und_bad(u, k, "casts to ONNX type %lld", (long long)to);
    const bool from_integer = is_integer(x->shape.dtype);
    const bool harmless = !is_integer(dtype) || (from_integer && deft_dtype_size(dtype) >= 4);
    if (!harmless) return und_bad(u, k, "rounds what is computed to integers");
    deft_tensor shape = x->shape;
    shape.dtype = dtype;
    und_set(u, k, 0, &shape, x->e);
    return DEFT_OK;
}

const und_entry und_move_table[] = {
    {"Reshape", und_move},
    {"Flatten", und_move},
    {"Squeeze", und_move},
    {"Unsqueeze", und_move},
    {"Transpose", und_move},
    {"Split", und_move},
    {"Expand", und_move},
    {"Tile", und_move},
    {"Slice", und_move},
    {"Gather", und_move},
    {"GatherND", und_move},
    {"GatherElements", und_move},
    {"ScatterElements", und_move},
    {"ScatterND", und_move},
    {"Concat", und_move},
    {"Identity", pass_through},
    {"Dropout", dropout},
    {"Cast", cast},
    {"CastLike", cast},
    {NULL, NULL},
};
