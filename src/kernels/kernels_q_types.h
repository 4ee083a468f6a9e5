/* kernels_q_types.h - vectors of SIMD_LANES numbers for the integer kernels. Each thin file that is
 * compiled for one instruction set defines SIMD_LANES, includes this, defines the few operations
 * that the compiler's vectors (GNU C) lack, and includes the bodies:
 *
 *   qi scale(qi a, qi m, q_rounding r)
 *       the low 32 bits of (a * m + r.add) >> r.shift in 64 bits; shift: 16 to 31
 *
 *   qi lesser(qi a, qi b), greater(qi a, qi b), magnitude(qi x)
 *
 *   qi pairs_at(const int16_t *e, qi i)
 *       in each lane e[i] below, e[i + 1] above
 *
 *   qi dot_pairs(qi a, qi b)
 *       products of both 16-bit halves, added
 *
 *   void store16(int16_t *p, qi v), store8(uint8_t *p, qi v)
 *       each lane limited to 16 bits; lanes that are 0 to 255
 *
 *   qw expand(const uint8_t *p, const uint32_t n)
 *       n = 1 to 3 bytes a lane, without gaps, to four with zeros; reads n * QLANES bytes */
#ifndef DEFT_KERNELS_Q_TYPES_H
#define DEFT_KERNELS_Q_TYPES_H

#include <stdint.h>
#include <string.h>

enum { QLANES = SIMD_LANES, QBYTES = 4 * SIMD_LANES };

typedef int32_t qi __attribute__((vector_size(4 * SIMD_LANES)));
typedef uint32_t qu __attribute__((vector_size(4 * SIMD_LANES)));
typedef int16_t qh __attribute__((vector_size(2 * SIMD_LANES)));
typedef uint8_t qb __attribute__((vector_size(SIMD_LANES)));
typedef uint8_t qw __attribute__((vector_size(4 * SIMD_LANES))); // four bytes a lane
typedef qi qi_any __attribute__((aligned(1), may_alias));
typedef qh qh_any __attribute__((aligned(1), may_alias));
typedef qw qw_any __attribute__((aligned(1), may_alias));

typedef struct q_rounding {
    int64_t add;
    int32_t shift;
} q_rounding;

#define Q_INLINE static inline __attribute__((always_inline))

Q_INLINE qi q_load(const void *p)
{
    return *(const qi_any *)p;
}

Q_INLINE void q_store(void *p, qi v)
{
    *(qi_any *)p = v;
}

Q_INLINE qw q_bytes(const void *p)
{
    return *(const qw_any *)p;
}

Q_INLINE qi q_splat(int32_t x)
{
    return x - (qi){0};
}

Q_INLINE qi q_load16(const int16_t *p) // widened
{
    return __builtin_convertvector(*(const qh_any *)p, qi);
}

#ifndef Q_MASKED // else the including file has what takes only some
/* The first n <= QLANES; the others are 0. */
Q_INLINE qi q_load_some(const int32_t *p, uint32_t n)
{
    int32_t all[SIMD_LANES] = {0};
    memcpy(all, p, n * sizeof *p);
    return q_load(all);
}

Q_INLINE qi q_load16_some(const int16_t *p, uint32_t n)
{
    int16_t all[SIMD_LANES] = {0};
    memcpy(all, p, n * sizeof *p);
    return q_load16(all);
}

/* The first n <= QBYTES; the others are 0. */
Q_INLINE qw q_bytes_some(const uint8_t *p, size_t n)
{
    uint8_t all[QBYTES] = {0};
    memcpy(all, p, n);
    return q_bytes(all);
}
#endif

#endif
