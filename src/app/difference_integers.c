/* difference_integers.c - layers of a float policy beside those of an integer one. */
#include "app/difference.h"
#include "deft/policy.h"

#include <math.h>
#include <string.h>

/* Outputs of all layers in all rows. */
typedef struct trace {
    const deft_loaded *a, *b;
    const deft_recording *r;
    bool feed_recorded;
    size_t width; // outputs of all layers
    float *x, *y; // [n_row][width] of a, and of b as integers less their zero
    float *act;   // [2][n_act]
} trace;

static deft_status same_layers(const deft_model *m, const deft_qmodel *q, deft_error *err)
{
    if (m->n_layer != q->n_layer) {
        return deft_fail(err, DEFT_E_MISMATCH, "one has %d layers, the other %d", (int)m->n_layer,
                         (int)q->n_layer);
    }
    for (int32_t k = 0; k < m->n_layer; k++) {
        if (m->layer[k].kind == q->layer[k].kind && m->layer[k].n_out == q->layer[k].n_out)
            continue;
        return deft_fail(err, DEFT_E_MISMATCH, "layer %d is %s[%d] in one and %s[%d] in the other",
                         (int)k, deft_layer_kind_name(m->layer[k].kind), (int)m->layer[k].n_out,
                         deft_layer_kind_name(q->layer[k].kind), (int)q->layer[k].n_out);
    }
    return DEFT_OK;
}

static deft_status open_policy(const deft_loaded *b, deft_policy *p, deft_error *err)
{
    const int32_t size = deft_policy_size_kept(b->image.data, b->image.size);
    const deft_policy_config cfg = {.image = b->image.data,
                                    .image_size = b->image.size,
                                    .arena =
                                        deft_arena_alloc(b->arena, (size_t)(size < 0 ? 0 : size)),
                                    .arena_size = (size_t)(size < 0 ? 0 : size),
                                    .kernels = deft_kernels_best()};
    const deft_status s = size < 0 ? (deft_status)size : deft_policy_init(p, &cfg);
    return s == DEFT_OK ? s : deft_fail(err, s, "the image cannot be run: %s", deft_status_str(s));
}

static void note_row(const trace *t, const deft_model_eval *e, const deft_policy *p, int32_t row)
{
    float *x = t->x + (size_t)row * t->width, *y = t->y + (size_t)row * t->width;
    for (int32_t k = 0; k < t->a->model->n_layer; k++) {
        const int32_t n = t->a->model->layer[k].n_out, zero = t->b->qmodel->layer[k].zero;
        deft_layer_output out;
        memcpy(x, deft_model_eval_layer(e, k), (size_t)n * sizeof *x);
        const bool known = deft_policy_layer(p, (uint32_t)k, &out) == DEFT_OK;
        for (int32_t i = 0; i < n; i++) {
            const int32_t v = !known                      ? zero
                              : out.format == DEFT_NUM_U8 ? ((const uint8_t *)out.data)[i]
                                                          : ((const int16_t *)out.data)[i];
            y[i] = (float)(v - zero);
        }
        x += n;
        y += n;
    }
}

/* Both through the recording; b is given what a did. */
static deft_status run(const trace *t, deft_model_eval *e, deft_policy *p, deft_error *err)
{
    const size_t n_act = (size_t)t->a->model->contract.n_act;
    const float *prev = NULL;
    for (int32_t row = 0; row < t->r->n_row; row++) {
        const float *const obs = t->r->obs + (size_t)row * (size_t)t->r->n_obs;
        const bool first = row == 0 || (t->r->first && t->r->first[row]);
        if (first) {
            deft_model_eval_reset(e);
            deft_policy_reset(p);
        }
        prev = first ? NULL : t->feed_recorded ? t->r->act + ((size_t)row - 1) * n_act : t->act;
        deft_status s = deft_policy_step(p, obs, prev, t->act + n_act);
        if (s == DEFT_OK) s = deft_model_eval_step(e, obs, prev, t->act);
        if (s != DEFT_OK) return deft_fail(err, s, "row %d cannot be run", (int)row + 1);
        note_row(t, e, p, row);
    }
    return DEFT_OK;
}

/* What one step of output i stands for: the factor that leaves the least squares. */
static double factor(const trace *t, size_t i)
{
    double xy = 0, yy = 0;
    for (int32_t row = 0; row < t->r->n_row; row++) {
        const size_t at = (size_t)row * t->width + i;
        xy += (double)t->x[at] * (double)t->y[at];
        yy += (double)t->y[at] * (double)t->y[at];
    }
    return yy > 0 ? xy / yy : 0;
}

static deft_status measure(const trace *t, deft_difference *out, deft_error *err)
{
    const deft_model *const m = t->a->model;
    size_t first = 0;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const size_t n = (size_t)m->layer[k].n_out, rows = (size_t)t->r->n_row;
        const bool state =
            m->layer[k].kind == DEFT_LAYER_GRU || m->layer[k].kind == DEFT_LAYER_LSTM;
        float *const x = DEFT_NEW_ARRAY(t->a->arena, float, 2 * rows * n), *const y = x + rows * n;
        if (!x) return deft_fail(err, DEFT_E_SPACE, "no memory");
        for (size_t i = 0; i < n; i++) {
            const double scale = state ? 1.0 / 32768 : factor(t, first + i);
            for (size_t row = 0; row < rows; row++) {
                x[row * n + i] = t->x[row * t->width + first + i];
                y[row * n + i] = (float)(scale * (double)t->y[row * t->width + first + i]);
            }
        }
        deft_difference_of(x, y, t->r->n_row, (int32_t)n, 0, &out[k]);
        first += n;
    }
    return DEFT_OK;
}

deft_status compare_integer_layers(const deft_loaded *a, const deft_loaded *b,
                                   const deft_recording *r, bool feed_recorded,
                                   deft_difference *out, deft_error *err)
{
    trace t = {.a = a, .b = b, .r = r, .feed_recorded = feed_recorded};
    deft_status s = same_layers(a->model, b->qmodel, err);
    if (s != DEFT_OK) return s;
    for (int32_t k = 0; k < a->model->n_layer; k++) t.width += (size_t)a->model->layer[k].n_out;
    t.x = DEFT_NEW_ARRAY(a->arena, float, 2 * t.width * (size_t)r->n_row);
    t.act = DEFT_NEW_ARRAY(a->arena, float, 2 * (size_t)a->model->contract.n_act);
    if (!t.x || !t.act) return deft_fail(err, DEFT_E_SPACE, "no memory");
    t.y = t.x + t.width * (size_t)r->n_row;
    deft_policy p;
    deft_model_eval *e = NULL;
    s = open_policy(b, &p, err);
    if (s == DEFT_OK) s = deft_model_eval_create(a->model, &e, err);
    if (s == DEFT_OK) s = run(&t, e, &p, err);
    if (s == DEFT_OK) s = measure(&t, out, err);
    deft_model_eval_destroy(e);
    return s;
}
