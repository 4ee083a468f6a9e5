/* rng.c - xoshiro256++ 1.0 (D. Blackman, S. Vigna, "Scrambled linear pseudorandom number
 * generators", 2019), seeded by SplitMix64 as its authors advise. */
#include "deft/base.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = (*x += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void deft_rng_seed(deft_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) r->s[i] = splitmix64(&seed);
}

void deft_rng_seed_stream(deft_rng *r, uint64_t seed, uint64_t index)
{
    // Hash both words so that neighbouring seeds and indices share nothing.
    const uint64_t a = splitmix64(&seed);
    uint64_t b = a ^ (index + 0xD1B54A32D192ED03u);
    deft_rng_seed(r, splitmix64(&b));
}

uint64_t deft_rng_u64(deft_rng *r)
{
    uint64_t *s = r->s;
    const uint64_t result = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

double deft_rng_uniform(deft_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * ((double)(deft_rng_u64(r) >> 11) * 0x1p-53);
}

double deft_rng_normal(deft_rng *r)
{
    // Marsaglia's polar method, without the second value: the state stays a plain array.
    for (;;) {
        const double u = deft_rng_uniform(r, -1, 1), v = deft_rng_uniform(r, -1, 1);
        const double s = u * u + v * v;
        if (s > 0 && s < 1) return u * sqrt(-2 * log(s) / s);
    }
}
