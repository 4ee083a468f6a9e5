/* op_conv.c - convolutions over one to three axes. Sums run over channels, then over the kernel. */
#include "graph/op_conv.h"

#include <string.h>

static const int64_t max_size = 1 << 20; // of an axis, a stride, a padding, a number of channels

/* A list of one number an axis, at least `least`, which they are where the attribute is absent. */
static deft_status read_list(op_ctx *c, const char *name, int32_t n, int64_t least, int64_t *to)
{
    int64_t list[OP_MAX_LIST] = {0};
    const int32_t got = op_list(c, name, -1, list);
    for (int32_t i = 0; i < n; i++) to[i] = least;
    if (got < 0) return DEFT_E_RANGE;
    if (got != 0 && got != n)
        return op_fail(c, DEFT_E_FORMAT, "'%s' has %d numbers, not %d", name, (int)got, (int)n);
    for (int32_t i = 0; i < n; i++) {
        to[i] = got ? list[i] : least;
        if (to[i] < least || to[i] > max_size)
            return op_fail(c, DEFT_E_RANGE, "'%s' is out of range", name);
    }
    return DEFT_OK;
}

static deft_status read_padding(op_ctx *c, op_conv *v, int64_t after[OP_CONV_AXES])
{
    const deft_attr *const a = deft_node_attr(c->node, "auto_pad");
    const char *const how = a && a->kind == DEFT_ATTR_STRING ? a->s : "NOTSET";
    int64_t pads[2 * OP_CONV_AXES] = {0};
    if (strcmp(how, "NOTSET") == 0) {
        const deft_status s = read_list(c, "pads", 2 * v->axes, 0, pads);
        if (s != DEFT_OK) return s;
    } else if (strcmp(how, "VALID") != 0 && strcmp(how, "SAME_UPPER") != 0 &&
               strcmp(how, "SAME_LOWER") != 0) {
        return op_fail(c, DEFT_E_UNSUPPORTED, "'auto_pad' is not known");
    }
    for (int32_t i = 0; i < v->axes; i++) {
        v->pad[i] = pads[i];
        after[i] = pads[v->axes + i];
        if (strncmp(how, "SAME", 4) != 0 || v->stride[i] < 1) continue;
        const int64_t out = (v->in[i] + v->stride[i] - 1) / v->stride[i];
        const int64_t wanted =
            (out - 1) * v->stride[i] + (v->kernel[i] - 1) * v->dilation[i] + 1 - v->in[i];
        const int64_t all = wanted > 0 ? wanted : 0;
        v->pad[i] = strcmp(how, "SAME_UPPER") == 0 ? all / 2 : all - all / 2;
        after[i] = all - v->pad[i];
    }
    return DEFT_OK;
}

static deft_status read_axes(op_ctx *c, op_conv *v)
{
    int64_t after[OP_CONV_AXES] = {0};
    deft_status s = read_list(c, "strides", v->axes, 1, v->stride);
    if (s == DEFT_OK) s = read_list(c, "dilations", v->axes, 1, v->dilation);
    if (s == DEFT_OK) s = read_padding(c, v, after);
    if (s != DEFT_OK) return s;
    v->n_in = v->n_out = v->n_kernel = 1;
    for (int32_t i = 0; i < v->axes; i++) {
        const int64_t stride = v->stride[i];
        if (stride < 1) return op_fail(c, DEFT_E_RANGE, "'strides' is out of range");
        const int64_t room =
            v->in[i] + v->pad[i] + after[i] - (v->kernel[i] - 1) * v->dilation[i] - 1;
        if (room < 0) return op_fail(c, DEFT_E_FORMAT, "the kernel is larger than its input");
        v->out[i] = room / stride + 1;
        v->n_in *= v->in[i];
        v->n_out *= v->out[i];
        v->n_kernel *= v->kernel[i];
        if (v->n_in > max_size || v->n_out > max_size || v->n_kernel > max_size)
            return op_fail(c, DEFT_E_RANGE, "the convolution is too large");
    }
    return DEFT_OK;
}

deft_status op_conv_read(op_ctx *c, const deft_tensor *x, const deft_tensor *w, op_conv *v)
{
    *v = (op_conv){.axes = x->rank - 2, .group = deft_node_int(c->node, "group", 1)};
    if (v->axes < 1 || v->axes > OP_CONV_AXES || w->rank != x->rank)
        return op_fail(c, DEFT_E_UNSUPPORTED, "wants an input of rank 3 to 5 and weights of it");
    if (v->group < 1 || w->dim[0] % v->group != 0 || x->dim[1] != w->dim[1] * v->group)
        return op_fail(c, DEFT_E_FORMAT, "%lld channels and %lld groups do not fit the weights",
                       (long long)x->dim[1], (long long)v->group);
    v->batch = x->dim[0];
    v->c_in = w->dim[1];
    v->c_out = w->dim[0] / v->group;
    for (int32_t i = 0; i < x->rank; i++)
        if (x->dim[i] < 1 || x->dim[i] > max_size || w->dim[i] < 1 || w->dim[i] > max_size)
            return op_fail(c, DEFT_E_RANGE, "a size is out of range");
    for (int32_t i = 0; i < v->axes; i++) {
        v->in[i] = x->dim[2 + i];
        v->kernel[i] = w->dim[2 + i];
    }
    return read_axes(c, v);
}

int64_t op_conv_position(const op_conv *v, int64_t at, int64_t tap)
{
    int64_t position = 0, stride = 1;
    for (int32_t i = v->axes - 1; i >= 0; i--) {
        const int64_t p =
            at % v->out[i] * v->stride[i] + tap % v->kernel[i] * v->dilation[i] - v->pad[i];
        if (p < 0 || p >= v->in[i]) return -1;
        position += p * stride;
        stride *= v->in[i];
        at /= v->out[i];
        tap /= v->kernel[i];
    }
    return position;
}

/* One output: channel o of all, position `at`, of one row of the batch. */
static float sum_f32(const op_conv *v, const float *x, const float *w, int64_t o, int64_t at)
{
    const int64_t first = o / v->c_out * v->c_in; // channel of the group
    float sum = 0;
    for (int64_t i = 0; i < v->c_in; i++)
        for (int64_t k = 0; k < v->n_kernel; k++) {
            const int64_t p = op_conv_position(v, at, k);
            if (p >= 0)
                sum += x[(first + i) * v->n_in + p] * w[(o * v->c_in + i) * v->n_kernel + k];
        }
    return sum;
}

static deft_status run_conv(op_ctx *c)
{
    const deft_tensor *const x = op_in(c, 0), *const w = op_in(c, 1), *const b = op_in(c, 2);
    if (!x || !w || x->dtype != DEFT_F32 || w->dtype != DEFT_F32 || (b && b->dtype != DEFT_F32))
        return op_fail(c, DEFT_E_FORMAT, "wants float32 operands");
    op_conv v;
    deft_status s = op_conv_read(c, x, w, &v);
    if (s != DEFT_OK) return s;
    const int64_t channels = v.group * v.c_out;
    const double sums = (double)v.batch * (double)channels * (double)v.n_out;
    if (sums > (double)max_size * (double)max_size)
        return op_fail(c, DEFT_E_RANGE, "the convolution is too large to evaluate");
    if (b && b->count != channels) return op_fail(c, DEFT_E_FORMAT, "the bias does not fit");
    int64_t dim[DEFT_MAX_RANK] = {v.batch, channels};
    for (int32_t i = 0; i < v.axes; i++) dim[2 + i] = v.out[i];
    // every size is at most 2^20, and the output is charged for by op_out
    s = op_charge(c, v.c_in * v.n_kernel, v.batch * channels * (v.n_out > 0 ? v.n_out : 1));
    if (s != DEFT_OK) return s;
    s = op_out(c, 0, DEFT_F32, x->rank, dim);
    if (s != DEFT_OK) return s;
    float *y = c->out[0].data;
    for (int64_t n = 0; n < v.batch; n++) {
        const float *const row = (const float *)x->data + n * x->dim[1] * v.n_in;
        for (int64_t o = 0; o < channels; o++)
            for (int64_t at = 0; at < v.n_out; at++) {
                *y = sum_f32(&v, row, w->data, o, at);
                if (b) *y += ((const float *)b->data)[o];
                y++;
            }
    }
    return DEFT_OK;
}

const op_entry op_table_conv[] = {
    {"Conv", run_conv},
    {NULL, NULL},
};
