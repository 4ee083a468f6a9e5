/* gemm_avx512.c - products of the size that training needs, for x86-64 with AVX-512. Compiled with
 * its own options (src/CMakeLists.txt). Empty elsewhere.
 *
 * The middle: tiles of up to 6 rows and 64 columns of C stay in registers, while columns of A are
 * spread over rows of B. B is read in place where its rows are short, else from a copy of 64 x 64,
 * which also serves B transposed. Every element of C is a sum over k in order, in blocks of 64,
 * fused; where C has fewer than 8 columns it is 16 partial sums, so results depend on shapes, but
 * on nothing else. */
#include "train/gemm.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 64, TILE = 6, FEW = 8 };

/* A tile of C: a(i, k) = a[i * step_i + k * step_k], b(k, j) = b[k * ldb + j]. */
typedef struct tile {
    const float *a, *b;
    float *c;
    const float *bias; // of its columns, NULL: none
    ptrdiff_t step_i, step_k, ldb, ldc;
    int k;
    bool add;       // to what C holds
    bool relu;      // in the end
    __mmask16 last; // columns of the last vector
} tile;

/* Bias and ReLU: v > 0 ? v : 0, so not a number gives 0, too. */
INLINE __m512 ending(__m512 v, const float *bias, const __mmask16 there, const bool relu)
{
    if (bias) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(there, bias));
    return relu ? _mm512_max_ps(v, _mm512_setzero_ps()) : v;
}

/* whole: all columns of the last vector are there. */
INLINE void tile_of(const tile *const p, const int rows, const int vectors, const bool whole)
{
    const tile t = *p; // by value: stores to C cannot change it
    const __mmask16 last = whole ? 0xFFFF : t.last;
    const float *a = t.a, *b = t.b;
    __m512 c[TILE][4];
#pragma GCC unroll 6
    for (ptrdiff_t i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (ptrdiff_t v = 0; v < vectors; v++) {
            const __mmask16 there = v + 1 < vectors ? 0xFFFF : last;
            c[i][v] = _mm512_setzero_ps();
            if (t.add) c[i][v] = _mm512_maskz_loadu_ps(there, t.c + i * t.ldc + 16 * v);
        }
    }
    for (int k = 0; k < t.k; k++, a += t.step_k, b += t.ldb) {
        __m512 row[4];
#pragma GCC unroll 4
        for (ptrdiff_t v = 0; v < vectors; v++) {
            row[v] = v + 1 < vectors || whole ? _mm512_loadu_ps(b + 16 * v)
                                              : _mm512_maskz_loadu_ps(last, b + 16 * v);
        }
#pragma GCC unroll 6
        for (ptrdiff_t i = 0; i < rows; i++) {
            const __m512 x = _mm512_set1_ps(a[i * t.step_i]);
#pragma GCC unroll 4
            for (ptrdiff_t v = 0; v < vectors; v++) c[i][v] = _mm512_fmadd_ps(x, row[v], c[i][v]);
        }
    }
#pragma GCC unroll 6
    for (ptrdiff_t i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (ptrdiff_t v = 0; v < vectors; v++) {
            const __mmask16 there = v + 1 < vectors ? 0xFFFF : last;
            const float *const bias = t.bias ? t.bias + 16 * v : NULL;
            const __m512 y = ending(c[i][v], bias, there, t.relu);
            float *const to = t.c + i * t.ldc + 16 * v;
            if (v + 1 < vectors || whole) {
                _mm512_storeu_ps(to, y);
            } else {
                _mm512_mask_storeu_ps(to, there, y);
            }
        }
    }
}

typedef void tile_function(const tile *t);
#define TILE_OF(rows, vectors)                                                                     \
    static void tile_##rows##_##vectors(const tile *t)                                             \
    {                                                                                              \
        tile_of(t, rows, vectors, false);                                                          \
    }
#define TILES_OF(rows)                                                                             \
    TILE_OF(rows, 1)                                                                               \
    TILE_OF(rows, 2)                                                                               \
    TILE_OF(rows, 3) TILE_OF(rows, 4) static void tile_##rows##_whole(const tile *t)               \
    {                                                                                              \
        tile_of(t, rows, 4, true);                                                                 \
    }
TILES_OF(1)
TILES_OF(2)
TILES_OF(3)
TILES_OF(4)
TILES_OF(5)
TILES_OF(6)
#define ROW(rows)                                                                                  \
    {                                                                                              \
        tile_##rows##_1, tile_##rows##_2, tile_##rows##_3, tile_##rows##_4, tile_##rows##_whole    \
    }
static tile_function *const tiles[TILE][5] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6)};

/* m rows and n <= 64 columns; t: its first tile. */
static void strip(tile t, int m, int n)
{
    const int vectors = (n + 15) / 16, which = n == BLOCK ? 4 : vectors - 1;
    t.last = (__mmask16)(0xFFFF >> (16 * vectors - n));
    while (m > 0) {
        // 7 to 11 rows in two halves: few rows hide the latency of the additions badly
        const int rows = m <= TILE ? m : m < 2 * TILE ? (m + 1) / 2 : TILE;
        tiles[rows - 1][which](&t);
        t.a += rows * t.step_i;
        t.c += rows * t.ldc;
        m -= rows;
    }
}

/* to[4 columns][16 rows] of 16 rows of b, 64 numbers apart. */
INLINE void transpose(const float *b, ptrdiff_t ldb, float *to)
{
    __m512 r[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++, b += ldb) { // row 4 q + i in quarter q
        r[i] = _mm512_castps128_ps512(_mm_loadu_ps(b));
        r[i] = _mm512_mask_broadcast_f32x4(r[i], 0x00F0, _mm_loadu_ps(b + 4 * ldb));
        r[i] = _mm512_mask_broadcast_f32x4(r[i], 0x0F00, _mm_loadu_ps(b + 8 * ldb));
        r[i] = _mm512_mask_broadcast_f32x4(r[i], 0xF000, _mm_loadu_ps(b + 12 * ldb));
    }
    const __m512d a = (__m512d)_mm512_unpacklo_ps(r[0], r[1]),
                  b2 = (__m512d)_mm512_unpacklo_ps(r[2], r[3]),
                  c = (__m512d)_mm512_unpackhi_ps(r[0], r[1]),
                  d = (__m512d)_mm512_unpackhi_ps(r[2], r[3]);
    _mm512_store_ps(to, (__m512)_mm512_unpacklo_pd(a, b2));
    _mm512_store_ps(to + BLOCK, (__m512)_mm512_unpackhi_pd(a, b2));
    _mm512_store_ps(to + (ptrdiff_t)2 * BLOCK, (__m512)_mm512_unpacklo_pd(c, d));
    _mm512_store_ps(to + (ptrdiff_t)3 * BLOCK, (__m512)_mm512_unpackhi_pd(c, d));
}

/* to[k][64] of B; b: its first element, k, n <= 64. */
static void copy_block(const deft_gemm *g, const float *b, int k, int n, float *to)
{
    const ptrdiff_t ldb = g->ldb;
    if (!g->b_transposed) {
        const __mmask16 last = (__mmask16)(0xFFFF >> (-n & 15));
        for (ptrdiff_t i = 0; i < k; i++, b += ldb, to += BLOCK) {
            for (ptrdiff_t j = 0; j < n; j += 16) {
                const __mmask16 there = j + 16 <= n ? 0xFFFF : last;
                _mm512_store_ps(to + j, _mm512_maskz_loadu_ps(there, b + j));
            }
        }
        return;
    }
    const ptrdiff_t whole_n = n & ~15, whole_k = k & ~3;
    for (ptrdiff_t j = 0; j < whole_n; j += 16) {
        for (ptrdiff_t i = 0; i < whole_k; i += 4)
            transpose(b + j * ldb + i, ldb, to + i * BLOCK + j);
    }
    for (ptrdiff_t j = 0; j < n; j++) {
        for (ptrdiff_t i = j < whole_n ? whole_k : 0; i < k; i++)
            to[i * BLOCK + j] = b[j * ldb + i];
    }
}

static void product(const deft_gemm *g)
{
    _Alignas(64) float copy[BLOCK * BLOCK];
    const bool in_place = !g->b_transposed && g->ldb <= BLOCK;
    const int block = in_place ? g->k : BLOCK;
    tile t = {.step_i = g->a_transposed ? 1 : g->lda,
              .step_k = g->a_transposed ? g->lda : 1,
              .ldb = in_place ? g->ldb : BLOCK,
              .ldc = g->ldc};
    for (int k = 0; k < g->k; k += block) {
        t.k = g->k - k < block ? g->k - k : block;
        t.a = g->a + k * t.step_k;
        t.add = k > 0 || g->beta != 0;
        t.relu = g->relu && k + t.k == g->k;
        for (int j = 0; j < g->n; j += BLOCK) {
            const int n = g->n - j < BLOCK ? g->n - j : BLOCK;
            t.b = g->b + (g->b_transposed ? j * (ptrdiff_t)g->ldb + k : k * (ptrdiff_t)g->ldb + j);
            t.c = g->c + j;
            t.bias = g->bias && k + t.k == g->k ? g->bias + j : NULL;
            if (!in_place) {
                copy_block(g, t.b, t.k, n, copy);
                t.b = copy;
            }
            strip(t, g->m, n);
        }
    }
}

/* Sums of four vectors. */
INLINE __m128 sums_of(const __m512 *v)
{
    const __m512 a = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    const __m512 b = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    const __m512 c = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xEE));
    const __m256 d =
        _mm256_add_ps(_mm512_castps512_ps256(c), (__m256)_mm512_extractf64x4_pd((__m512d)c, 1));
    return _mm_add_ps(_mm256_castps256_ps128(d), _mm256_extractf128_ps(d, 1));
}

/* Rows i to i + rows - 1 of column j of C, A row by row. w: column j of B. */
INLINE void column_of(const deft_gemm *g, const float *w, int i, int j, const int rows)
{
    const __mmask16 last = (__mmask16)(0xFFFF >> (-g->k & 15));
    const float *const a = g->a + i * (ptrdiff_t)g->lda;
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
    for (int k = 0; k < g->k; k += 16) {
        const __mmask16 there = k + 16 <= g->k ? 0xFFFF : last;
        const __m512 b = _mm512_maskz_loadu_ps(there, w + k);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const __m512 x = _mm512_maskz_loadu_ps(there, a + r * (ptrdiff_t)g->lda + k);
            sum[r] = _mm512_fmadd_ps(x, b, sum[r]);
        }
    }
    float total[4];
    _mm_storeu_ps(total, sums_of(sum));
    for (int r = 0; r < rows; r++) {
        float *const c = g->c + (i + r) * (ptrdiff_t)g->ldc + j;
        const float v = (g->beta != 0 ? *c : 0) + total[r] + (g->bias ? g->bias[j] : 0);
        *c = g->relu && !(v > 0) ? 0 : v;
    }
}

/* C of few columns. b: B transposed, [n][k]. */
static void few_columns(const deft_gemm *g, const float *b, ptrdiff_t ldb)
{
    for (int j = 0; j < g->n; j++, b += ldb) {
        int i = 0;
        for (; i + 4 <= g->m; i += 4) column_of(g, b, i, j, 4);
        for (; i < g->m; i++) column_of(g, b, i, j, 1);
    }
}

/* C of few columns from A stored as its transpose: C transposed, then added up. */
static void few_columns_across(const deft_gemm *g)
{
    _Alignas(64) float across[FEW * BLOCK];
    for (int i = 0; i < g->m; i += BLOCK) {
        const int m = g->m - i < BLOCK ? g->m - i : BLOCK;
        const tile t = {.a = g->b,
                        .b = g->a + i,
                        .c = across,
                        .step_i = 1,
                        .step_k = g->ldb,
                        .ldb = g->lda,
                        .ldc = BLOCK,
                        .k = g->k};
        strip(t, g->n, m);
        for (int r = 0; r < m; r++) {
            float *const c = g->c + (i + r) * (ptrdiff_t)g->ldc;
            for (int j = 0; j < g->n; j++) c[j] = (g->beta != 0 ? c[j] : 0) + across[j * BLOCK + r];
        }
    }
}

void deft_gemm_avx512(const deft_gemm *g)
{
    float column[FEW * BLOCK];
    const bool few = g->n < FEW;
    if (few && g->a_transposed && !g->b_transposed && !g->bias && !g->relu) {
        few_columns_across(g);
    } else if (few && !g->a_transposed && g->b_transposed && g->k >= 16) {
        few_columns(g, g->b, g->ldb);
    } else if (few && !g->a_transposed && g->k >= 16 && g->n * g->k <= FEW * BLOCK) {
        for (int k = 0; k < g->k; k++) {
            for (int j = 0; j < g->n; j++) {
                column[j * g->k + k] = g->b[k * (ptrdiff_t)g->ldb + j];
            }
        }
        few_columns(g, column, g->k);
    } else {
        product(g);
    }
}
#else
typedef int deft_gemm_avx512_is_elsewhere;
#endif
