/* onnx_write_layer.c - one layer of the canonical policy as ONNX nodes: linear maps, elementwise
 * operations and activations only. */
#include "formats/onnx_write.h"

#include <math.h>

static const char *unary(onnx_writer *w, const char *p, const char *op, const char *x)
{
    return onnx_add_node(&w->b, op, onnx_value_name(&w->b, p, op), ONNX_IN(x));
}

static const char *binary(onnx_writer *w, const char *name, const char *op, const char *x,
                          const char *y)
{
    return onnx_add_node(&w->b, op, name, ONNX_IN(x, y));
}

static const char *scalar(onnx_writer *w, const char *p, const char *part, float v)
{
    return onnx_add_scalar(&w->b, onnx_tensor_name(&w->b, p, part), v);
}

/* 0.5 * (x * (1 + y)): the end of both forms of GELU, in PyTorch's order. */
static const char *half_of(onnx_writer *w, const char *p, const char *x, const char *y)
{
    onnx_builder *b = &w->b;
    const char *one = scalar(w, p, "one", 1.0f), *half = scalar(w, p, "half", 0.5f);
    y = binary(w, onnx_value_name(b, p, "one_plus"), "Add", y, one);
    y = binary(w, onnx_value_name(b, p, "twice"), "Mul", x, y);
    return binary(w, onnx_value_name(b, p, "gelu"), "Mul", y, half);
}

static const char *write_gelu(onnx_writer *w, const char *p, bool with_tanh, const char *x)
{
    onnx_builder *b = &w->b;
    if (!with_tanh) {
        const char *root = scalar(w, p, "sqrt2", 1.41421356237309505f);
        return half_of(w, p, x,
                       unary(w, p, "Erf", binary(w, onnx_value_name(b, p, "Div"), "Div", x, root)));
    }
    const char *cubic = scalar(w, p, "cubic", 0.044715f);
    const char *scale = scalar(w, p, "scale", 0.797884560802865356f);
    const char *y = binary(w, onnx_value_name(b, p, "square"), "Mul", x, x);
    y = binary(w, onnx_value_name(b, p, "cube"), "Mul", x, y);
    y = binary(w, onnx_value_name(b, p, "cubic_term"), "Mul", y, cubic);
    y = binary(w, onnx_value_name(b, p, "inner"), "Add", x, y);
    y = binary(w, onnx_value_name(b, p, "scaled"), "Mul", y, scale);
    return half_of(w, p, x, unary(w, p, "Tanh", y));
}

static const char *write_clip(onnx_writer *w, const char *p, deft_activation f, const char *x)
{
    const char *lo = isfinite(f.alpha) ? scalar(w, p, "min", f.alpha) : "";
    const char *hi = isfinite(f.beta) ? scalar(w, p, "max", f.beta) : "";
    return onnx_add_node(&w->b, "Clip", onnx_value_name(&w->b, p, "Clip"), ONNX_IN(x, lo, hi));
}

static const char *write_activation(onnx_writer *w, const char *p, deft_activation f, const char *x)
{
    onnx_builder *b = &w->b;
    const char *y = x;
    switch (f.kind) {
    case DEFT_ACT_NONE:
        return x;
    case DEFT_ACT_RELU:
        return unary(w, p, "Relu", x);
    case DEFT_ACT_TANH:
        return unary(w, p, "Tanh", x);
    case DEFT_ACT_SIGMOID:
        return unary(w, p, "Sigmoid", x);
    case DEFT_ACT_SOFTSIGN:
        return unary(w, p, "Softsign", x);
    case DEFT_ACT_SOFTPLUS:
        return unary(w, p, "Softplus", x);
    case DEFT_ACT_LEAKY_RELU:
        y = unary(w, p, "LeakyRelu", x);
        onnx_add_float(b, "alpha", f.alpha);
        return y;
    case DEFT_ACT_ELU:
        y = unary(w, p, "Elu", x);
        onnx_add_float(b, "alpha", f.alpha);
        return y;
    case DEFT_ACT_SELU:
        y = unary(w, p, "Selu", x);
        onnx_add_float(b, "alpha", f.alpha);
        onnx_add_float(b, "gamma", f.beta);
        return y;
    case DEFT_ACT_SILU:
        return binary(w, onnx_value_name(b, p, "silu"), "Mul", x, unary(w, p, "Sigmoid", x));
    case DEFT_ACT_GELU:
        return write_gelu(w, p, false, x);
    case DEFT_ACT_GELU_TANH:
        return write_gelu(w, p, true, x);
    case DEFT_ACT_CLIP:
        return write_clip(w, p, f, x);
    }
    return x;
}

/* A linear map of rows of a matrix. */
typedef struct linear {
    const char *part; // names of value and tensors
    const float *weight, *bias;
    int32_t rows, cols;
} linear;

static const char *write_linear(onnx_writer *w, const char *p, linear l, const char *x)
{
    onnx_builder *b = &w->b;
    const char *out = onnx_value_name(b, p, l.part);
    const char *name = onnx_tensor_name(b, out, "weight");
    if (l.bias) {
        const char *y = onnx_add_node(
            b, "Gemm", out,
            ONNX_IN(x, onnx_add_matrix(b, name, l.rows, l.cols, l.weight),
                    onnx_add_vector(b, onnx_tensor_name(b, out, "bias"), l.rows, l.bias)));
        onnx_add_int(b, "transB", 1);
        return y;
    }
    float *t = DEFT_NEW_ARRAY(b->a, float, (size_t)l.rows *(size_t)l.cols);
    if (!t) {
        b->failed = true;
        return "";
    }
    const size_t rows = (size_t)l.rows, cols = (size_t)l.cols;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < cols; k++) t[k * rows + i] = l.weight[i * cols + k];
    return binary(w, out, "MatMul", x, onnx_add_matrix(b, name, l.cols, l.rows, t));
}

/* Equal parts of x, named after the gates. */
static void split(onnx_writer *w, const char *x, const char *const *gate, int n, const char **part)
{
    onnx_builder *b = &w->b;
    for (int i = 0; i < n; i++) part[i] = onnx_value_name(b, x, gate[i]);
    (void)onnx_add_node(b, "Split", part[0], ONNX_IN(x));
    onnx_add_int(b, "axis", 1);
    for (int i = 1; i < n; i++) onnx_add_output(b, part[i]);
}

/* f(x + h) of one gate. */
static const char *gate(onnx_writer *w, const char *p, const char *name, const char *f,
                        const char *const xh[2])
{
    onnx_builder *b = &w->b;
    const char *at = onnx_value_name(b, p, name);
    return unary(w, at, f, binary(w, onnx_value_name(b, at, "Add"), "Add", xh[0], xh[1]));
}

/* The candidate's part of the hidden state: r * (Un h + cn), or Un (r * h) + cn. */
static const char *gru_candidate(onnx_writer *w, int32_t k, const char *r, const char *un)
{
    const deft_layer *l = &w->m->layer[k];
    const char *p = w->prefix[k];
    onnx_builder *b = &w->b;
    const size_t width = (size_t)l->n_out;
    if (!l->reset_before) return binary(w, onnx_value_name(b, p, "reset_hidden"), "Mul", r, un);
    const char *rh = binary(w, onnx_value_name(b, p, "reset_hidden"), "Mul", r, w->old[k].name);
    const linear map = {"candidate", l->weight_h + 2 * width * width,
                        l->bias_h ? l->bias_h + 2 * width : NULL, l->n_out, l->n_out};
    return write_linear(w, p, map, rh);
}

static const char *write_gru(onnx_writer *w, int32_t k, onnx_operand in)
{
    static const char *const gates[3] = {"r", "z", "n"};
    const deft_layer *l = &w->m->layer[k];
    const char *p = w->prefix[k], *h = w->old[k].name;
    onnx_builder *b = &w->b;
    const int32_t width = l->n_out;
    const int n_hidden = l->reset_before ? 2 : 3;
    const char *x[3], *u[3] = {"", "", ""};
    split(w, write_linear(w, p, (linear){"input", l->weight, l->bias, 3 * width, l->n_in}, in.name),
          gates, 3, x);
    const linear hidden = {"hidden", l->weight_h, l->bias_h, n_hidden * width, width};
    split(w, write_linear(w, p, hidden, h), gates, n_hidden, u);
    const char *r = gate(w, p, "r", "Sigmoid", (const char *const[]){x[0], u[0]});
    const char *z = gate(w, p, "z", "Sigmoid", (const char *const[]){x[1], u[1]});
    const char *un = gru_candidate(w, k, r, u[2]);
    const char *n = gate(w, p, "n", "Tanh", (const char *const[]){x[2], un});
    // h' = n + z * (h - n)
    const char *d = binary(w, onnx_value_name(b, p, "difference"), "Sub", h, n);
    d = binary(w, onnx_value_name(b, p, "update"), "Mul", z, d);
    return binary(w, onnx_value_name(b, p, "h"), "Add", n, d);
}

static const char *write_lstm(onnx_writer *w, int32_t k, onnx_operand in)
{
    static const char *const gates[4] = {"i", "f", "g", "o"};
    const deft_layer *l = &w->m->layer[k];
    const char *p = w->prefix[k];
    onnx_builder *b = &w->b;
    const int32_t width = l->n_out;
    const char *x[4], *u[4], *y[4];
    split(w, write_linear(w, p, (linear){"input", l->weight, l->bias, 4 * width, l->n_in}, in.name),
          gates, 4, x);
    split(w,
          write_linear(w, p, (linear){"hidden", l->weight_h, l->bias_h, 4 * width, width},
                       w->old[k].name),
          gates, 4, u);
    for (int i = 0; i < 4; i++)
        y[i] = gate(w, p, gates[i], i == 2 ? "Tanh" : "Sigmoid", (const char *const[]){x[i], u[i]});
    const char *keep = binary(w, onnx_value_name(b, p, "keep"), "Mul", y[1], w->cell_old[k]);
    const char *add = binary(w, onnx_value_name(b, p, "write"), "Mul", y[0], y[2]);
    w->cell_new[k] = binary(w, onnx_value_name(b, p, "c"), "Add", keep, add);
    const char *c = unary(w, onnx_value_name(b, p, "cell"), "Tanh", w->cell_new[k]);
    return binary(w, onnx_value_name(b, p, "h"), "Mul", y[3], c);
}

/* y = f(x * gamma + beta) */
static const char *write_affine(onnx_writer *w, int32_t k, onnx_operand in)
{
    const deft_layer *l = &w->m->layer[k];
    const char *p = w->prefix[k], *x = in.name;
    onnx_builder *b = &w->b;
    if (l->weight)
        x = binary(w, onnx_value_name(b, p, "scale"), "Mul", x,
                   onnx_add_vector(b, onnx_tensor_name(b, p, "weight"), l->n_out, l->weight));
    if (l->bias)
        x = binary(w, onnx_value_name(b, p, "shift"), "Add", x,
                   onnx_add_vector(b, onnx_tensor_name(b, p, "bias"), l->n_out, l->bias));
    return x;
}

static const char *write_layernorm(onnx_writer *w, int32_t k, onnx_operand in)
{
    const deft_layer *l = &w->m->layer[k];
    const char *p = w->prefix[k];
    onnx_builder *b = &w->b;
    float *ones = DEFT_NEW_ARRAY(b->a, float, l->n_out);
    if (!ones) b->failed = true;
    for (int32_t i = 0; ones && i < l->n_out; i++) ones[i] = 1.0f;
    const float *gamma = l->weight ? l->weight : ones;
    if (!gamma) return "";
    const char *name = onnx_add_vector(b, onnx_tensor_name(b, p, "weight"), l->n_out, gamma);
    const char *bias = NULL; // ends the list where there is none
    if (l->bias) bias = onnx_add_vector(b, onnx_tensor_name(b, p, "bias"), l->n_out, l->bias);
    const char *y = onnx_add_node(b, "LayerNormalization", onnx_value_name(b, p, "norm"),
                                  ONNX_IN(in.name, name, bias));
    onnx_add_int(b, "axis", -1);
    onnx_add_float(b, "epsilon", l->epsilon);
    return y;
}

/* The first and the second half of a layer's inputs. */
static const char *write_pairwise(onnx_writer *w, int32_t k, const char *op)
{
    const deft_layer *l = &w->m->layer[k];
    const char *p = w->prefix[k];
    onnx_builder *b = &w->b;
    int32_t first = 0, length = 0;
    while (first < l->n_segment && length < l->n_out) length += l->in[first++].length;
    onnx_operand x, y;
    if (length == l->n_out) { // the usual case: no segment spans both
        x = onnx_write_input(w, l->in, first, onnx_value_name(b, p, "a"));
        y = onnx_write_input(w, l->in + first, l->n_segment - first, onnx_value_name(b, p, "b"));
    } else {
        const onnx_operand both =
            onnx_write_input(w, l->in, l->n_segment, onnx_value_name(b, p, "in"));
        x = onnx_write_slice(w, both, 0, l->n_out);
        y = onnx_write_slice(w, both, l->n_out, l->n_out);
    }
    return binary(w, onnx_value_name(b, p, op), op, x.name, y.name);
}

/* The old history without its oldest entry, and the input behind it (or in front). */
static const char *write_history(onnx_writer *w, int32_t k, onnx_operand in)
{
    const deft_layer *l = &w->m->layer[k];
    const int32_t keep = l->n_out - l->n_in;
    if (keep == 0) return unary(w, w->prefix[k], "Identity", in.name);
    const onnx_operand rest = onnx_write_slice(w, w->old[k], l->newest_first ? 0 : l->n_in, keep);
    const char *y = onnx_add_node(
        &w->b, "Concat", onnx_value_name(&w->b, w->prefix[k], "history"),
        ONNX_IN(l->newest_first ? in.name : rest.name, l->newest_first ? rest.name : in.name));
    onnx_add_int(&w->b, "axis", 1);
    return y;
}

deft_status onnx_write_layer(onnx_writer *w, int32_t k)
{
    const deft_layer *l = &w->m->layer[k];
    const char *p = w->prefix[k], *y = NULL;
    const bool pairs = l->kind == DEFT_LAYER_ADD || l->kind == DEFT_LAYER_MUL;
    onnx_operand in = {"", 0};
    if (!pairs) in = onnx_write_input(w, l->in, l->n_segment, onnx_value_name(&w->b, p, "in"));
    switch (l->kind) {
    case DEFT_LAYER_DENSE:
        y = write_linear(w, p, (linear){"linear", l->weight, l->bias, l->n_out, l->n_in}, in.name);
        break;
    case DEFT_LAYER_GRU:
        y = write_gru(w, k, in);
        break;
    case DEFT_LAYER_LSTM:
        y = write_lstm(w, k, in);
        break;
    case DEFT_LAYER_LAYERNORM:
        y = write_layernorm(w, k, in);
        break;
    case DEFT_LAYER_ACTIVATION:
        y = in.name;
        break;
    case DEFT_LAYER_AFFINE:
        y = write_affine(w, k, in);
        break;
    case DEFT_LAYER_ADD:
        y = write_pairwise(w, k, "Add");
        break;
    case DEFT_LAYER_MUL:
        y = write_pairwise(w, k, "Mul");
        break;
    case DEFT_LAYER_HISTORY:
        y = write_history(w, k, in);
        break;
    }
    if (!y) return deft_fail(w->err, DEFT_E_ARG, "layer %d is of an unknown kind", (int)k);
    w->state[k] = y;
    w->out[k] = (onnx_operand){write_activation(w, p, l->activation, y), l->n_out};
    return DEFT_OK;
}
