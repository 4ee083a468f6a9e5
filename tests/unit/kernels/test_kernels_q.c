/* The integer kernels of every set of this CPU, bit for bit: matrices against sums of 64 bits in
 * the words of docs/format.md, gates against the reference. Random shapes and tails, numbers at the
 * ends of their ranges, pointers aligned to their types only, memory that ends where the data end.
 */
#include "check.h"
#include "deft/base.h"
#include "deft/kernels.h"
#include "kernels/fixed.h"

#include <stdlib.h>
#include <string.h>

enum { GUARD = 0x55 };

static int32_t random_in(deft_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)(deft_rng_u64(r) % (uint64_t)((int64_t)hi - lo + 1));
}

/* A piece of memory that ends where its contents end, `off` bytes behind an aligned address. */
typedef struct piece {
    uint8_t *base, *at;
} piece;

static piece piece_of(size_t bytes, size_t off)
{
    piece p;
    p.base = malloc(bytes + off);
    if (!p.base) abort();
    memset(p.base, GUARD, bytes + off);
    p.at = p.base + off;
    return p;
}

typedef struct job {
    uint32_t n_in, n_out;
    uint8_t weights, inputs;
    int32_t *w, *x; // [n_out][n_in], [n_in]
    int32_t *bias, *multiplier;
    uint8_t shift;
    deft_output_q out;
    int16_t table[1025];
} job;

/* Numbers at random, all at one end, or at either end. */
static void fill(deft_rng *r, int32_t *p, size_t n, int32_t lo, int32_t hi)
{
    const int how = random_in(r, 0, 5);
    for (size_t i = 0; i < n; i++) {
        p[i] = how == 0 ? lo : how == 1 ? hi : random_in(r, lo, hi);
        if (how == 2) p[i] = random_in(r, 0, 1) ? lo : hi;
    }
}

static void fill_output(deft_rng *r, job *j)
{
    const int u8 = random_in(r, 0, 1);
    deft_output_q *const o = &j->out;
    memset(o, 0, sizeof *o);
    o->format = u8 ? DEFT_NUM_U8 : DEFT_NUM_S16;
    o->lo = u8 ? 0 : INT16_MIN;
    o->hi = u8 ? 255 : INT16_MAX;
    o->zero = random_in(r, 0, 1) ? random_in(r, u8 ? 0 : -3000, u8 ? 255 : 3000) : 0;
    if (random_in(r, 0, 2) == 0) {
        o->lo = random_in(r, o->lo, o->hi);
        o->hi = random_in(r, o->lo, o->hi);
    }
    if (random_in(r, 0, 1)) return;
    o->table.log2_n = (uint8_t)random_in(r, 4, 10);
    o->table.odd = (uint8_t)random_in(r, 0, 1);
    for (int32_t i = 0; i <= 1 << o->table.log2_n; i++) {
        j->table[i] = (int16_t)random_in(r, o->table.odd ? -32767 : -32768, 32767);
        if (random_in(r, 0, 9) == 0) j->table[i] = INT16_MAX;
    }
    o->table.entry = j->table;
}

static int64_t sum_of(const job *j, uint32_t row)
{
    int64_t acc = j->bias ? j->bias[row] : 0;
    for (uint32_t i = 0; i < j->n_in; i++) acc += (int64_t)j->w[row * j->n_in + i] * j->x[i];
    return acc;
}

/* Inputs are made smaller until every partial sum fits, in any order. */
static void fit(deft_rng *r, job *j)
{
    int64_t worst = 0;
    do {
        if (worst) {
            for (uint32_t i = 0; i < j->n_in; i++) j->x[i] /= 2;
        }
        worst = 0;
        for (uint32_t o = 0; o < j->n_out; o++) {
            int64_t sum = j->bias ? llabs(j->bias[o]) : 0;
            for (uint32_t i = 0; i < j->n_in; i++) {
                sum += llabs((int64_t)j->w[o * j->n_in + i] * j->x[i]);
            }
            if (sum > worst) worst = sum;
        }
    } while (worst >= 1 << 30);
    j->shift = 0;
    while (j->shift < 15 && (worst << (j->shift + 1)) < 1 << 30) j->shift++;
    j->shift = (uint8_t)random_in(r, 0, j->shift);
    for (uint32_t o = 0; o < j->n_out; o++) {
        // results about as large as the output's range, now and then far beyond
        const double range = j->out.format == DEFT_NUM_U8 && !j->out.table.entry ? 300 : 40000;
        const double m = range / ((double)(worst << j->shift) + 1) * 2147483648.0;
        const double factor = random_in(r, 0, 9) ? deft_rng_uniform(r, 0.1, 2) : 1e9;
        j->multiplier[o] = m * factor >= INT32_MAX ? INT32_MAX : (int32_t)(m * factor);
    }
}

static void make(deft_rng *r, job *j)
{
    const int32_t ends[][2] = {{-128, 127}, {-8, 7}, {-32768, 32767}};
    const int32_t *const e = ends[j->weights];
    const size_t count = (size_t)j->n_out * j->n_in;
    j->w = malloc(count * sizeof *j->w);
    j->x = malloc(j->n_in * sizeof *j->x);
    j->bias = random_in(r, 0, 3) ? malloc(j->n_out * sizeof *j->bias) : NULL;
    j->multiplier = malloc(j->n_out * sizeof *j->multiplier);
    if (!j->w || !j->x || !j->multiplier) abort();
    fill(r, j->w, count, e[0], e[1]);
    fill(r, j->x, j->n_in, j->inputs ? -32768 : 0, j->inputs ? 32767 : 255);
    if (j->bias) fill(r, j->bias, j->n_out, -1000000, 1000000);
    fill_output(r, j);
    fit(r, j);
}

/* Where a number of a panel is: groups of four columns, then the columns that are left. */
static uint32_t number_in_panel(const job *j, uint32_t width, uint32_t row, uint32_t c)
{
    const uint32_t t = j->n_in % 4, whole = j->n_in - t;
    if (c < whole) return c / 4 * 4 * width + row * 4 + c % 4;
    return whole * width + row * t + c - whole;
}

/* The weights as docs/format.md lays them out; at: zeros. */
static void pack_panels(const job *j, uint8_t *at)
{
    for (uint32_t first = 0, width; first < j->n_out; first += width) {
        width = j->n_out - first < 128 ? j->n_out - first : 128;
        const uint32_t all = width * j->n_in;
        for (uint32_t row = 0; row < width; row++) {
            for (uint32_t c = 0; c < j->n_in; c++) {
                const int32_t w = j->w[(first + row) * j->n_in + c];
                const uint32_t k = number_in_panel(j, width, row, c);
                if (j->weights == DEFT_Q_S8) {
                    at[k] = (uint8_t)(w & 255);
                    continue;
                }
                const uint32_t block = k / 128 * 128, n = all - block < 128 ? all - block : 128;
                const uint32_t half = (n + 1) / 2, i = k - block;
                const uint32_t high = i >= half;
                uint8_t *const byte = at + block / 2 + (high ? i - half : i);
                *byte = (uint8_t)(*byte | (w + 8) << 4 * high);
            }
        }
        at += j->weights == DEFT_Q_S8 ? all : (all + 1) / 2;
    }
}

static void pack_rows(const job *j, uint8_t *at)
{
    for (uint32_t row = 0; row < j->n_out; row++) {
        for (uint32_t c = 0; c < j->n_in; c++) {
            const int32_t w = j->w[row * j->n_in + c];
            const size_t k = (size_t)row * j->n_in + c;
            if (j->weights == DEFT_Q_S8) at[k] = (uint8_t)(w & 255);
            if (j->weights == DEFT_Q_S16) {
                const int16_t v = (int16_t)w;
                memcpy(at + 2 * k, &v, sizeof v);
            }
            if (j->weights == DEFT_Q_S4) {
                uint8_t *const byte = at + (size_t)row * ((j->n_in + 1) / 2) + c / 2;
                *byte = (uint8_t)(*byte | (w + 8) << 4 * (c & 1));
            }
        }
    }
}

static int32_t result_of(const job *j, uint32_t row)
{
    const int64_t acc = sum_of(j, row) * ((int64_t)1 << j->shift);
    int64_t v = (acc * j->multiplier[row] + (1 << 30)) >> 31;
    if (j->out.table.entry) {
        v = v < -32768 ? -32768 : v > 32767 ? 32767 : v;
        v = deft_table_at(&j->out.table, (int32_t)v);
        if (j->out.format == DEFT_NUM_U8) v = (v + 32768 + 128) >> 8;
    } else {
        v += j->out.zero;
    }
    return (int32_t)(v < j->out.lo ? j->out.lo : v > j->out.hi ? j->out.hi : v);
}

static void compare(const deft_kernels *k, const deft_matrix_q *m, const job *j, const uint8_t *y)
{
    uint32_t different = 0;
    for (uint32_t o = 0; o < j->n_out; o++) {
        int16_t got = j->out.format == DEFT_NUM_U8 ? y[o] : 0;
        if (j->out.format != DEFT_NUM_U8) memcpy(&got, y + (size_t)2 * o, sizeof got);
        different += got != result_of(j, o);
    }
    CHECK(different == 0, "%s, layout %d, weights %d, inputs %d%s: %u of %u x %u differ", k->name,
          m->layout, j->weights, j->inputs, m->layout == DEFT_Q_FOLDED ? ", folded" : "", different,
          j->n_out, j->n_in);
}

/* As the image has it, and folded. */
static void run(const deft_kernels *k, const job *j, uint8_t layout, size_t off)
{
    static const uint8_t formats[] = {DEFT_NUM_S8, DEFT_NUM_S4, DEFT_NUM_S16};
    deft_dense_q *dense = k->q->dense[layout][j->weights][j->inputs];
    if (!dense) return;
    const size_t bytes = (size_t)deft_matrix_bytes(formats[j->weights], layout, j->n_out, j->n_in);
    const size_t size = j->out.format == DEFT_NUM_U8 ? 1 : 2, in = j->inputs ? 2 : 1;
    const piece w = piece_of(bytes, j->weights == DEFT_Q_S16 ? 2 * off : off);
    const piece x = piece_of(in * j->n_in, in * off), y = piece_of(size * j->n_out, size * off);
    memset(w.at, 0, bytes);
    if (layout) {
        pack_panels(j, w.at);
    } else {
        pack_rows(j, w.at);
    }
    for (uint32_t i = 0; i < j->n_in; i++) {
        const int16_t v = (int16_t)j->x[i];
        if (j->inputs) memcpy(x.at + (size_t)2 * i, &v, sizeof v);
        if (!j->inputs) x.at[i] = (uint8_t)j->x[i];
    }
    deft_matrix_q m = {.weight = w.at,
                       .bias = j->bias,
                       .multiplier = j->multiplier,
                       .n_in = j->n_in,
                       .n_out = j->n_out,
                       .format = formats[j->weights],
                       .layout = layout,
                       .shift = j->shift};
    const piece folded = piece_of(4 * (size_t)j->n_out, 4 * off);
    for (int fold = 0; fold < 2; fold++) {
        memset(y.at, GUARD, size * j->n_out);
        int32_t *const bias = (int32_t *)(void *)folded.at;
        const uint8_t in_format = j->inputs ? DEFT_NUM_S16 : DEFT_NUM_U8;
        if (fold) {
            if (!layout || j->out.table.entry) break;
            if (!k->q->fold || !k->q->fold(&m, in_format, bias)) break;
            m.bias = bias;
            m.layout = DEFT_Q_FOLDED;
            dense = k->q->dense[DEFT_Q_FOLDED][j->weights][j->inputs];
        }
        dense(&m, x.at, &j->out, y.at);
        compare(k, &m, j, y.at);
    }
    free(folded.base);
    free(w.base);
    free(x.base);
    free(y.base);
}

static void test_dense(deft_rng *r, uint32_t n_out, uint32_t n_in)
{
    for (int weights = 0; weights < DEFT_Q_WEIGHTS; weights++) {
        for (int inputs = 0; inputs < DEFT_Q_INPUTS; inputs++) {
            job j = {.n_in = n_in,
                     .n_out = n_out,
                     .weights = (uint8_t)weights,
                     .inputs = (uint8_t)inputs};
            make(r, &j);
            for (const deft_kernels *const *k = deft_kernels_all(); *k; k++) {
                for (int layout = 0; layout < DEFT_Q_FOLDED; layout++) {
                    run(*k, &j, (uint8_t)layout, (size_t)random_in(r, 0, 3));
                }
            }
            free(j.w);
            free(j.x);
            free(j.bias);
            free(j.multiplier);
        }
    }
}

/* n numbers of 16 bits at p, at random or at the ends. */
static void fill16(deft_rng *r, int16_t *p, size_t n)
{
    const int32_t size = random_in(r, 0, 2) ? 9000 : 32767;
    for (size_t i = 0; i < n; i++) {
        p[i] = (int16_t)random_in(r, -size, size);
        if (random_in(r, 0, 19) == 0) p[i] = random_in(r, 0, 1) ? INT16_MIN : INT16_MAX;
    }
}

static void test_gates(deft_rng *r, uint32_t n)
{
    int16_t table[1025], x[4 * 90], u[4 * 90], old[90], cell[90];
    deft_table_q t = {table, (uint8_t)random_in(r, 4, 10), 1};
    for (int32_t i = 0; i <= 1 << t.log2_n; i++) table[i] = (int16_t)random_in(r, -32767, 32767);
    fill16(r, x, sizeof x / sizeof *x);
    fill16(r, u, sizeof u / sizeof *u);
    fill16(r, old, 90);
    fill16(r, cell, 90);
    const uint32_t rounds = random_in(r, 0, 1) ? (uint32_t)random_in(r, 0, 15) : 0;
    const deft_gru_q g = {x + 1, u + 1, t, n, rounds};
    const deft_lstm_q l = {x + 1, u + 1, t, n, rounds, (uint32_t)random_in(r, 0, 8)};
    int16_t want[90], want_h[90], want_c[90];
    memcpy(want, old, sizeof want);
    deft_gru_q_ref(&g, want + 1, want + 1);
    memcpy(want_c, cell, sizeof want_c);
    memset(want_h, GUARD, sizeof want_h);
    deft_lstm_q_ref(&l, want_c + 1, want_h + 1);
    for (const deft_kernels *const *k = deft_kernels_all(); *k; k++) {
        int16_t h[90], c[90], apart[90];
        memcpy(h, old, sizeof h);
        memcpy(apart, old, sizeof apart);
        (*k)->q->gru(&g, old + 1, apart + 1);
        (*k)->q->gru(&g, h + 1, h + 1);
        CHECK(memcmp(h, want, sizeof h) == 0, "%s: GRU of %u", (*k)->name, n);
        CHECK(memcmp(apart, want, sizeof h) == 0, "%s: GRU of %u, apart", (*k)->name, n);
        memcpy(c, cell, sizeof c);
        memset(h, GUARD, sizeof h);
        (*k)->q->lstm(&l, c + 1, h + 1);
        CHECK(memcmp(h, want_h, sizeof h) == 0 && memcmp(c, want_c, sizeof c) == 0,
              "%s: LSTM of %u", (*k)->name, n);
    }
}

int main(void)
{
    deft_rng r;
    deft_rng_seed(&r, 7);
    for (uint32_t n = 1; n <= 40; n++) test_dense(&r, n, 1 + n % 13);
    for (uint32_t n = 1; n <= 40; n++) test_dense(&r, 1 + n % 9, n);
    const uint32_t wide[][2] = {{8, 256},  {64, 64},  {192, 25},   {128, 7},   {256, 89},
                                {17, 270}, {5, 2051}, {130, 1027}, {32, 2048}, {260, 3},
                                {192, 64}, {192, 66}, {96, 89},    {256, 256}, {320, 1024}};
    for (size_t k = 0; k < sizeof wide / sizeof *wide; k++) {
        for (int t = 0; t < 3; t++) test_dense(&r, wide[k][0], wide[k][1]);
    }
    for (int t = 0; t < 30; t++) {
        test_dense(&r, (uint32_t)random_in(&r, 1, 300), (uint32_t)random_in(&r, 1, 150));
    }
    for (int t = 0; t < 1000; t++) test_gates(&r, (uint32_t)random_in(&r, 1, 85));
    return check_report();
}
