/* qmodel.h - the integer policy: what the quantizer makes of a deft_model and what the image of an
 * integer policy is written from. Layers, segments and names are those of the float model; numbers
 * are integers, and every rounding is spelled out here and in docs/format.md.
 *
 * Values. A source (OBS, PREV, the output of a layer, the state h) is a vector of
 *   U8   q in [0, 255],         value = (q - zero) * scale
 *   S16  q in [-32768, 32767],  value = q * scale
 * Zero points and scales are never needed at run time: zero points of inputs are folded into the
 * biases of the layers that read them, scales into multipliers. All inputs of one layer have the
 * same format.
 *
 * Shifts of negative numbers are arithmetic (floor). clamp16(v) limits v to [-32768, 32767].
 *   requant(acc, m, s) = ((acc << s) * m + 2^30) >> 31,  m in [0, 2^31 - 1]
 * in 64 bits; |acc << s| < 2^30 is proven by the writer and checked again by the reader. This is
 * Arm's VQRDMULH, and SMMULR of acc << (s + 1).
 *   table(t, x), x in [-32768, 32767], 2^k + 1 entries:
 *     odd:   a = min(|x|, 32767), b = 15 - k, i = a >> b, f = a & (2^b - 1),
 *            y = e[i] + (((e[i + 1] - e[i]) * f + 2^(b-1)) >> b), result y with the sign of x
 *     full:  a = x + 32768, b = 16 - k, i, f, y as above, result y            (b >= 1)
 *
 * Dense:   acc = bias + sum w[o][i] x[i];  v = requant(acc, m[o], s)
 *          no table:  q = clamp(v + zero, lo, hi)                              (ReLU: lo = zero)
 *          table:     T = table(clamp16(v)); S16: q = clamp(T, lo, hi);
 *                     U8: q = clamp((T + 32768 + 128) >> 8, lo, hi)
 * Weights of 16 bits accumulate in 64 bits: acc64, then acc = (acc64 + 2^(p-1)) >> p (p = preshift;
 * p = 0: no rounding), which must fit as above.
 * GRU:     T is an odd table of tanh, x in Q12, y in Q15: sigmoid(s) with s in Q11 is
 *          sig(s) = (T(s) + 32768) >> 1, in Q15
 *          X = round(clamp16(requant(bias + W x, m, s)), gate_round), U likewise from h; r and z in
 *          Q11, n in Q12
 *          r = sig(clamp16(X_r + U_r)), z = sig(clamp16(X_z + U_z))
 *          n = T(clamp16(X_n + ((r * U_n + 2^14) >> 15)))
 *          h' = round(clamp16(n + ((z * (h - n) + 2^14) >> 15)), state_round), S16, Q15
 *          reset before: U_n from ((r * h + 2^14) >> 15) instead of h, n = T(clamp16(X_n + U_n))
 *          round(v, b): b = 0: v; else clamp16(((v + 2^(b-1)) >> b) << b)
 * LSTM:    i, f, o = sig(clamp16(X + U)) in Q11 -> Q15, g = T(clamp16(X_g + U_g)) in Q12 -> Q15;
 *          c in Q(15 - e), e = cell_shift in [0, 8]:
 *          c' = clamp16(((f * c + 2^14) >> 15) + ((i * g + 2^(14+e)) >> (15 + e)))
 *          u = c' in Q12: e >= 3: clamp16(c' << (e - 3)); else (c' + 2^(2-e)) >> (3 - e)
 *          h' = round((o * T(u) + 2^14) >> 15, state_round)
 * The state h, and so the output of GRU and LSTM, is S16 in Q15; their zero is 0, lo and hi are
 * the whole range.
 * Others:  one multiplier and, optionally, one bias an output; w.format is S16, or NONE where there
 *          are no weights; with N = n_out
 *          AFFINE      acc64 = bias[i] + w[i] x[i]                   no weights: ones
 *          ACTIVATION  acc64 = bias[i] + x[i]
 *          ADD         acc64 = bias[i] + w[i] x[i] + w[N + i] x[N + i]  no weights: ones
 *          MUL         acc64 = bias[i] + x[i] x[N + i] + w[i] x[i] + w[N + i] x[N + i]   (zeros;
 *                      the w are what zero points leave behind)
 *          LAYERNORM   acc64 = bias[i] + w[i] t[i]                   no weights: ones
 *                      S = sum x, mu = (16 S + n/2) div n, d = 16 x - mu,
 *                      var = (sum d^2) div n + epsilon 2^epsilon_shift   (256ths of a squared step)
 *                      sd = max(1, isqrt(var 2^16)); t = clamp((|d| 2^23 + sd/2) div sd, 0, 2^23 -
 * 1) with the sign of d: Q15; div rounds down then acc, v and q as a Dense of 16-bit weights.
 *          HISTORY: copies, format in = format out; zero fills it at a reset, lo and hi are the
 * whole range of the format. */
#ifndef DEFT_QMODEL_H
#define DEFT_QMODEL_H

#include "deft/model.h"
#include "deft/number.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A table of 2^log2_n + 1 entries; those of an odd one are at least -32767. What it samples is for
 * reports and for the way back to a float policy: entry = f(x * in_scale) / out_scale, as far as
 * its range goes, x the table's integer input. kind NONE: not said. */
typedef struct deft_qtable {
    int32_t log2_n; // 4 to 10
    bool odd;
    const int16_t *entry;
    deft_activation f;
    float in_scale, out_scale; // tanh of GRU and LSTM: 1 / 4096, 1 / 32768
} deft_qtable;

/* One matrix [n_out][n_in] with its requantization. */
typedef struct deft_qmatrix {
    deft_number format;        // DEFT_NUM_S8, S4, S16
    const int16_t *weight;     // [n_out][n_in], one number each whatever the format
    const int32_t *bias;       // [n_out], NULL: zeros
    const int32_t *multiplier; // [n_out]
    int32_t shift;             // s of requant, 0 to 15
    int32_t preshift;          // p, 0 to 31; S8 and S4: 0
} deft_qmatrix;

typedef struct deft_qlayer {
    deft_layer_kind kind; // DENSE, GRU, LSTM, LAYERNORM, ACTIVATION, AFFINE, ADD, MUL, HISTORY
    const char *name;
    int32_t n_in, n_out;
    int32_t n_segment;
    const deft_segment *in;
    deft_number in_format;  // of all segments: U8 or S16
    deft_number out_format; // U8 or S16 (GRU, LSTM: S16)
    int32_t zero, lo, hi;   // of the output
    int32_t table;          // index into the model's tables, -1: none (GRU, LSTM: of tanh)
    deft_qmatrix w;         // DENSE, GRU [3H][n_in], LSTM [4H][n_in]; or see "others" above
    deft_qmatrix u;         // GRU [3H][H], LSTM [4H][H]
    int32_t gate_round, state_round, cell_shift;
    bool reset_before;
    int32_t depth;
    bool newest_first, fill_first;
    int32_t epsilon, epsilon_shift; // LAYERNORM: epsilon * 2^epsilon_shift, 16 bits, 0 to 24
    /* For reports only, not in the image: value = (q - zero) * out_scale[k]. */
    const float *out_scale; // [n_out]
} deft_qlayer;

/* Ends. OBS[i] = clamp(rne((obs[i] - offset[i]) * scale[i]), lo[i], hi[i]) with each operation in
 * float32 and rne rounding half to even; scale folds the contract's and the number format's, lo and
 * hi the contract's clipping. PREV[i] = clamp16(rne(y[i] * prev_scale[i])), y the last action in
 * the network's units as in docs/format.md. Network outputs y[i] = (q[i] - zero) * out_scale[i]. */
typedef struct deft_qmodel {
    const deft_model *model;        // contract, names, provenance; its layers are not read
    const float *obs_offset;        // [n_obs], NULL: zeros
    const float *obs_scale;         // [n_obs]
    const int16_t *obs_lo, *obs_hi; // [n_obs], NULL: the whole range
    const float *prev_scale;        // [n_act], NULL where nothing reads PREV
    const float *out_scale;         // [n_output]
    int32_t out_zero;
    int32_t n_layer;
    const deft_qlayer *layer;
    int32_t n_out_segment;
    const deft_segment *out; // all of one format
    int32_t n_table;
    const deft_qtable *table;
    const char *scheme;      // "int8", ... and
    const char *calibration; // how it was calibrated, for people; both go to the image's notes
} deft_qmodel;

/* Bounds of the accumulators of one matrix, over all inputs that its sources can hold. */
typedef struct deft_qproof {
    int64_t worst;   // largest possible |acc| of any partial sum in any order
    int32_t channel; // where
    int32_t bits;    // bits that hold it, sign included
    bool fits_20;    // all channels fit the 20-bit lanes of the ESP32-S3's QACC
} deft_qproof;
/* matrix 0: w, 1: u. DEFT_E_RANGE (naming layer and channel) where int32 or requant overflows. */
deft_status deft_qmodel_prove(const deft_qmodel *q, int32_t layer, int32_t matrix, deft_qproof *out,
                              deft_error *err);
/* Shapes, segments, formats, ranges, tables, and every proof. */
deft_status deft_qmodel_check(const deft_qmodel *q, deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
