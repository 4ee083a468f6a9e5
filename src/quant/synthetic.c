/* synthetic.c - calibration without data: sequences of observations made of what the contract says
 * about them. Each observation has a mean, a deviation and ends; the sequences differ in how fast
 * they move, so that recurrent states visit their range. The previous action is the policy's own.
 */
#include "quant/quant_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EPISODE = 100, EPISODES = 15, PHASES = 6, HELD = 20 };

/* Time constants of the sequences in steps: 0 is white; below it, constant throughout or for HELD
 * steps at a time. */
#define CONSTANT (-1)
#define STEPWISE (-2)
static const double pace[PHASES] = {0, 2, 8, 30, CONSTANT, STEPWISE};

typedef struct channel {
    double mean, deviation, lo, hi; // in the contract's units
} channel;

static bool has(const char *name, const char *part)
{
    return name && strstr(name, part);
}

/* Parts of unit vectors by their names: never beyond 1. */
static bool is_unit(const deft_contract *c, int32_t i)
{
    const char *const name = c->obs_name ? c->obs_name[i] : NULL;
    return has(name, "quat") || has(name, "gravity") || has(name, "cos") || has(name, "sin_");
}

static channel between(double lo, double hi)
{
    return (channel){0.5 * (lo + hi), 0.25 * (hi - lo), lo, hi};
}

/* What the contract's numbers make of x in the network's units. */
static double world(double x, double offset, double scale)
{
    return scale != 0 ? offset + x / scale : offset;
}

/* Ends that somebody wrote down count above all others. */
static channel within_limits(const deft_contract *c, int32_t i, channel ch)
{
    if (c->obs_least) ch.lo = fmax(ch.lo, (double)c->obs_least[i]);
    if (c->obs_most) ch.hi = fmin(ch.hi, (double)c->obs_most[i]);
    if (ch.lo > ch.hi) ch.lo = ch.hi;
    return ch;
}

static bool has_limits(const deft_contract *c, int32_t i)
{
    return c->obs_least && c->obs_most && isfinite(c->obs_least[i]) && isfinite(c->obs_most[i]) &&
           c->obs_most[i] > c->obs_least[i];
}

static channel channel_by_contract(const deft_contract *c, int32_t i, deft_synthetic *facts)
{
    const double offset = c->obs_offset ? (double)c->obs_offset[i] : 0;
    const double scale = c->obs_scale ? (double)c->obs_scale[i] : 1;
    const double lo = c->obs_lo ? (double)c->obs_lo[i] : -(double)INFINITY;
    const double hi = c->obs_hi ? (double)c->obs_hi[i] : (double)INFINITY;
    float known_lo, known_hi;
    if (deft_contract_known_range(c, i, &known_lo, &known_hi)) {
        facts->known++;
        return between((double)known_lo, (double)known_hi);
    }
    if (offset != 0 || scale != 1) {
        const double reach = 1 / fabs(scale != 0 ? scale : 1);
        double a = world(fmax(lo, -4), offset, scale), b = world(fmin(hi, 4), offset, scale);
        facts->normalised++;
        if (a > b) {
            const double swap = a;
            a = b;
            b = swap;
        }
        return (channel){offset, reach, a, b};
    }
    if (has_limits(c, i)) {
        facts->limited++;
        return between((double)c->obs_least[i], (double)c->obs_most[i]);
    }
    if (isfinite(lo) && isfinite(hi) && hi > lo) {
        facts->limited++;
        return between(lo, hi);
    }
    if (is_unit(c, i)) {
        facts->known++;
        return between(-1, 1);
    }
    facts->assumed++;
    return (channel){0, 1, fmax(lo, -4), fmin(hi, 4)};
}

static channel channel_of(const deft_contract *c, int32_t i, deft_synthetic *facts)
{
    return within_limits(c, i, channel_by_contract(c, i, facts));
}

/* z of one channel in the next step of a sequence of this pace. */
static double advance(double z, double tau, int32_t step, deft_rng *rng)
{
    if (tau == CONSTANT) return z;
    if (tau == STEPWISE) return step % HELD ? z : deft_rng_normal(rng);
    const double keep = tau > 0 ? exp(-1 / tau) : 0;
    return keep * z + sqrt(1 - keep * keep) * deft_rng_normal(rng);
}

static deft_status sequence(deft_calibration *c, const channel *ch, double tau, float *memory,
                            deft_rng *rng, deft_error *err)
{
    const int32_t n = c->m->contract.n_obs;
    float *const obs = memory, *const z = memory + n, *const base = z + n;
    for (int32_t i = 0; i < n; i++) {
        base[i] = (float)(0.6 * deft_rng_normal(rng));
        z[i] = (float)deft_rng_normal(rng);
    }
    deft_calibration_reset(c);
    deft_status s = DEFT_OK;
    for (int32_t k = 0; s == DEFT_OK && k < EPISODE; k++) {
        for (int32_t i = 0; i < n; i++) {
            if (k) z[i] = (float)advance((double)z[i], tau, k, rng);
            const double x = ch[i].mean + ch[i].deviation * ((double)base[i] + 0.8 * (double)z[i]);
            obs[i] = (float)fmin(fmax(x, ch[i].lo), ch[i].hi);
        }
        s = deft_calibration_add(c, obs, NULL, err);
    }
    return s;
}

deft_status deft_calibration_add_synthetic(deft_calibration *c, uint64_t seed, deft_synthetic *out,
                                           deft_error *err)
{
    const int32_t n = c->m->contract.n_obs;
    channel *const ch = calloc((size_t)n, sizeof *ch);
    float *const memory = calloc((size_t)n, 3 * sizeof *memory);
    deft_rng rng;
    *out = (deft_synthetic){.n_obs = n};
    deft_rng_seed(&rng, seed);
    if (!ch || !memory) {
        free(ch);
        free(memory);
        return deft_fail(err, DEFT_E_SPACE, "no memory for calibration data");
    }
    deft_status s = DEFT_OK;
    for (int32_t i = 0; i < n; i++) ch[i] = channel_of(&c->m->contract, i, out);
    for (int32_t e = 0; s == DEFT_OK && e < EPISODES; e++)
        s = sequence(c, ch, pace[e % PHASES], memory, &rng, err);
    free(ch);
    free(memory);
    return s;
}
