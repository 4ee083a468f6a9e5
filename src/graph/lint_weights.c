/* lint_weights.c - rules that look at weights: untrained, huge, outlying, uneven, duplicate. */
#include "graph/lint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_UNIFORM = 256, MIN_DUPLICATE = 16 };

/* Kolmogorov's distance times sqrt(n) that a uniform sample exceeds once in 10000. */
static const double kolmogorov = 2.23;
static const double huge_weight = 1000;
/* Largest weight over rms of an output channel: beyond it int8 leaves most weights under 8 steps of
 * 127. A normal sample of 256 is at 3. */
static const double outlying = 16;
/* Largest channel over the middle one: one scale for all costs the middle one 4 of its 8 bits. */
static const double uneven = 16;

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* --- untrained ------------------------------------------------------------------------------- */

/* Largest distance between the sample's distribution and the uniform one in +-bound, or 1 if the
 * sample is too small, leaves the bound or does not come near it. */
static double distance_from_uniform(lint *l, const float *w, int64_t n, double bound)
{
    double most = 0;
    if (n < MIN_UNIFORM) return 1;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)w[i]));
    if (most > bound * (1 + 1e-6) || most < 0.95 * bound) return 1;
    float *x = lint_alloc(l, (size_t)n, sizeof *x);
    if (!x) return 1;
    memcpy(x, w, (size_t)n * sizeof *x);
    qsort(x, (size_t)n, sizeof *x, by_value);
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double f = ((double)x[i] + bound) / (2 * bound);
        worst = fmax(worst, fmax(f - (double)i / (double)n, (double)(i + 1) / (double)n - f));
    }
    return worst;
}

static bool is_uniform(lint *l, lint_matrix x, double bound, double *worst)
{
    const int64_t n = (int64_t)x.rows * x.cols;
    if (n < MIN_DUPLICATE) return false; // a few numbers may be anything
    const double d = distance_from_uniform(l, x.w, n, bound);
    if (d * sqrt((double)n) > kolmogorov) return false;
    *worst = fmax(*worst, d);
    return true;
}

static bool within(const float *x, int64_t n, double bound)
{
    for (int64_t i = 0; x && i < n; i++)
        if (fabs((double)x[i]) > bound * (1 + 1e-6)) return false;
    return true;
}

/* PyTorch initialises recurrent layers uniformly in +-1/sqrt(hidden). */
static void lint_untrained_encoder(lint *l)
{
    int32_t cells = 0, untrained = 0, hidden = 0;
    double worst = 0;
    for (int32_t k = 0; k < l->m->n_layer; k++) {
        const deft_layer *y = &l->m->layer[k];
        if (!model_has_h(y->kind)) continue;
        const double bound = 1 / sqrt((double)y->n_out);
        const int64_t biases = (int64_t)model_gates(y->kind) * y->n_out;
        cells++;
        if (!is_uniform(l, lint_matrix_of(y, 0), bound, &worst) ||
            !is_uniform(l, lint_matrix_of(y, 1), bound, &worst) ||
            !within(y->bias, biases, bound * 2) || !within(y->bias_h, biases, bound * 2))
            continue;
        untrained++;
        hidden = y->n_out;
    }
    if (untrained)
        lint_add(l, "untrained-encoder",
                 "%d of %d recurrent layers look untrained: their weights are uniform in "
                 "+-1/sqrt(%d) = %.4g, as PyTorch initialises them (Kolmogorov-Smirnov distance at "
                 "most %.4f)",
                 (int)untrained, (int)cells, (int)hidden, 1 / sqrt((double)hidden), worst);
}

static void lint_untrained_layer(lint *l, int32_t k)
{
    const deft_layer *y = &l->m->layer[k];
    const double bound = 1 / sqrt((double)y->n_in);
    double worst = 0;
    char label[LINT_LABEL];
    if (y->kind == DEFT_LAYER_DENSE && is_uniform(l, lint_matrix_of(y, 0), bound, &worst) &&
        within(y->bias, y->n_out, bound))
        lint_add(l, "untrained-layer",
                 "%s looks untrained: its weights are uniform in +-1/sqrt(%d) = %.4g, as PyTorch "
                 "initialises them (Kolmogorov-Smirnov distance %.4f)",
                 lint_layer(l, k, label), (int)y->n_in, bound, worst);
}

/* --- sizes ----------------------------------------------------------------------------------- */

static double largest(const float *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; x && i < n; i++) most = fmax(most, fabs((double)x[i]));
    return most;
}

static void lint_huge(lint *l, int32_t k)
{
    const deft_layer *y = &l->m->layer[k];
    const int64_t rows = (int64_t)model_gates(y->kind) * y->n_out;
    double most = fmax(largest(y->bias, rows ? rows : y->n_out), largest(y->bias_h, rows));
    for (int which = 0; which < 2; which++) {
        const lint_matrix x = lint_matrix_of(y, which);
        most = fmax(most, largest(x.w, (int64_t)x.rows * x.cols));
    }
    char label[LINT_LABEL];
    if (most > huge_weight)
        lint_add(l, "huge-weights",
                 "%s has weights or biases of up to %.3g: small changes of its inputs (and int8) "
                 "become large changes",
                 lint_layer(l, k, label), most);
}

/* Per output channel: the largest weight, and how far it stands out. */
static void lint_channels(lint *l, int32_t k, int which)
{
    const lint_matrix x = lint_matrix_of(&l->m->layer[k], which);
    float *most = x.w ? lint_alloc(l, (size_t)x.rows, sizeof *most) : NULL;
    if (!most) return;
    int32_t out = 0, worst = 0;
    double worst_ratio = 0;
    for (int32_t r = 0; r < x.rows; r++) {
        const float *w = x.w + (int64_t)r * x.cols;
        double square = 0;
        for (int32_t c = 0; c < x.cols; c++) square += (double)w[c] * (double)w[c];
        most[r] = (float)largest(w, x.cols);
        const double rms = sqrt(square / x.cols), ratio = rms > 0 ? (double)most[r] / rms : 0;
        out += ratio > outlying;
        if (ratio > worst_ratio) worst = r;
        worst_ratio = fmax(worst_ratio, ratio);
    }
    char label[LINT_LABEL];
    const char *of = which ? "the recurrent weights of " : "";
    if (out)
        lint_add(l, "weight-outliers",
                 "%d of %d output channels of %s%s have a weight of more than %g times their "
                 "rms (channel %d: %.0f times): int8 leaves the others few steps",
                 (int)out, (int)x.rows, of, lint_layer(l, k, label), outlying, (int)worst,
                 worst_ratio);
    qsort(most, (size_t)x.rows, sizeof *most, by_value);
    const double middle = (double)most[x.rows / 2], top = (double)most[x.rows - 1];
    if (middle > 0 && top > uneven * middle)
        lint_add(l, "uneven-channels",
                 "the largest output channel of %s%s (%.3g) is %.0f times the middle one "
                 "(%.3g): one int8 scale for the whole tensor leaves that one %.1f bits",
                 of, lint_layer(l, k, label), top, top / middle, middle,
                 fmax(0, 8 - log2(top / middle)));
}

/* --- duplicates ------------------------------------------------------------------------------ */

static bool same_weights(const deft_layer *a, const deft_layer *b)
{
    for (int which = 0; which < 2; which++) {
        const lint_matrix x = lint_matrix_of(a, which), y = lint_matrix_of(b, which);
        if (!x.w != !y.w || x.rows != y.rows || x.cols != y.cols) return false;
        const size_t n = (size_t)x.rows * (size_t)x.cols;
        if (x.w && (n < MIN_DUPLICATE || memcmp(x.w, y.w, n * sizeof *x.w) != 0)) return false;
    }
    return a->kind == b->kind;
}

/* "conv" and "conv.3": one module at several places, which share their weights on purpose. */
static bool one_module(const deft_layer *a, const deft_layer *b)
{
    if (!a->name || !b->name) return false;
    const size_t n = strlen(a->name);
    return n > 0 && strncmp(a->name, b->name, n) == 0 && b->name[n] == '.' &&
           b->name[n + 1 + strspn(b->name + n + 1, "0123456789")] == '\0';
}

static void lint_duplicate(lint *l, int32_t k)
{
    char a[LINT_LABEL], b[LINT_LABEL];
    const deft_layer *y = &l->m->layer[k];
    const lint_matrix x = lint_matrix_of(y, 0);
    if (!x.w || largest(x.w, (int64_t)x.rows * x.cols) == 0) return;
    for (int32_t j = 0; j < k; j++) {
        if (!same_weights(&l->m->layer[j], y)) continue;
        if (one_module(&l->m->layer[j], y)) return;
        lint_add(l, "duplicate-layers", "%s has exactly the weights of %s", lint_layer(l, k, a),
                 lint_layer(l, j, b));
        return;
    }
}

void lint_weights(lint *l)
{
    lint_untrained_encoder(l);
    for (int32_t k = 0; k < l->m->n_layer; k++) {
        lint_untrained_layer(l, k);
        lint_huge(l, k);
        lint_channels(l, k, 0);
        lint_channels(l, k, 1);
        lint_duplicate(l, k);
    }
}
