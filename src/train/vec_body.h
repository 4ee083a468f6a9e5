/* vec_body.h - included once for each instruction set, with VEC_TABLE naming the table. Plain
 * loops: the compiler vectorises them for the options of the file. */
#include "base/math_f32.h"
#include "train/vec.h"

#include <math.h>
#include <stddef.h>

enum { LANES = 16 }; // partial sums of a row; fixed, so that every set adds in the same order

static void bias_unit(float *restrict y, const float *restrict bias, int rows, int n, deft_unit f)
{
    for (int r = 0; r < rows; r++, y += n) {
        if (bias && f == DEFT_UNIT_RELU) {
            for (int i = 0; i < n; i++) {
                const float v = y[i] + bias[i];
                y[i] = v > 0 ? v : 0;
            }
            continue;
        }
        if (bias) {
            for (int i = 0; i < n; i++) y[i] += bias[i];
        }
        if (f == DEFT_UNIT_RELU) {
            for (int i = 0; i < n; i++) y[i] = y[i] > 0 ? y[i] : 0;
        } else if (f == DEFT_UNIT_TANH) {
            for (int i = 0; i < n; i++) y[i] = deft_tanh_f32(y[i]);
        } else if (f == DEFT_UNIT_ELU) {
            for (int i = 0; i < n; i++) y[i] = y[i] < 0 ? deft_expm1_f32(y[i]) : y[i];
        }
    }
}

static void unit_backward(float *restrict d, const float *restrict y, int rows, int n, deft_unit f)
{
    const size_t count = (size_t)rows * (size_t)n;
    if (f == DEFT_UNIT_RELU) {
        for (size_t i = 0; i < count; i++) d[i] = y[i] > 0 ? d[i] : 0;
    } else if (f == DEFT_UNIT_TANH) {
        for (size_t i = 0; i < count; i++) d[i] *= 1 - y[i] * y[i];
    } else if (f == DEFT_UNIT_ELU) {
        for (size_t i = 0; i < count; i++) d[i] *= y[i] < 0 ? y[i] + 1 : 1;
    }
}

static void column_sum(const float *restrict d, int rows, int n, float *restrict sum)
{
    for (int r = 0; r < rows; r++, d += n) {
        for (int i = 0; i < n; i++) sum[i] += d[i];
    }
}

static void adam(const deft_adam *a, float *restrict param, float *restrict moment1,
                 float *restrict moment2, const float *restrict grad, int n)
{
    const double c1 = 1 - pow((double)a->beta1, (double)a->step);
    const double c2 = 1 - pow((double)a->beta2, (double)a->step);
    // rate / c1 * m / (sqrt(v) / root + e), with one division: those and roots are what takes time
    const double root = sqrt(c2);
    const float step = (float)((double)a->rate / c1 * root), e = (float)((double)a->epsilon * root);
    const float b1 = a->beta1, b2 = a->beta2, d1 = 1 - b1, d2 = 1 - b2;
    for (int i = 0; i < n; i++) {
        const float g = grad[i];
        const float m = moment1[i] * b1 + g * d1;
        const float v = moment2[i] * b2 + g * g * d2;
        moment1[i] = m;
        moment2[i] = v;
        param[i] -= step * m / (sqrtf(v) + e);
    }
}

static void polyak(float *restrict target, const float *restrict param, float tau, int n)
{
    for (int i = 0; i < n; i++) target[i] += tau * (param[i] - target[i]);
}

/* Sum of x[n] in LANES partial sums, then those from left to right. */
static float row_sum(const float *restrict x, const float *restrict y, int n)
{
    float lane[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) lane[k] += y ? x[i + k] * y[i + k] : x[i + k];
    }
    for (int k = 0; i < n; i++, k++) lane[k] += y ? x[i] * y[i] : x[i];
    float sum = 0;
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

static void norm(float *restrict x, float *restrict r, float *restrict y,
                 const float *restrict gain_shift, int rows, int n)
{
    const float *gain = gain_shift, *shift = gain_shift + n;
    for (int row = 0; row < rows; row++, x += n, y += n) {
        const float mean = row_sum(x, NULL, n) / (float)n;
        for (int i = 0; i < n; i++) x[i] -= mean;
        r[row] = 1 / sqrtf(row_sum(x, x, n) / (float)n + 1e-5f);
        for (int i = 0; i < n; i++) {
            x[i] *= r[row];
            y[i] = x[i] * gain[i] + shift[i];
        }
    }
}

static void norm_backward(float *restrict d, const float *restrict x, const float *restrict r,
                          const float *restrict gain, float *restrict grad, const int shape[2])
{
    const int rows = shape[0], n = shape[1];
    for (int row = 0; row < rows; row++, d += n, x += n) {
        if (grad) {
            for (int i = 0; i < n; i++) {
                grad[i] += d[i] * x[i];
                grad[n + i] += d[i];
            }
        }
        for (int i = 0; i < n; i++) d[i] *= gain[i];
        const float mean = row_sum(d, NULL, n) / (float)n;
        const float slope = row_sum(d, x, n) / (float)n;
        for (int i = 0; i < n; i++) d[i] = r[row] * (d[i] - mean - x[i] * slope);
    }
}

static void multiply(float *restrict x, const float *restrict y, int n)
{
    for (int i = 0; i < n; i++) x[i] *= y[i];
}

const deft_vec VEC_TABLE = {VEC_NAME, bias_unit, unit_backward, column_sum, adam,
                            polyak,   norm,      norm_backward, multiply};
