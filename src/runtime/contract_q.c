/* contract_q.c - between the world's floats and the integers of a policy: the only float arithmetic
 * there is, and none of libm. Part of the freestanding runtime. */
#include "base/float_rules.h"

#include "base/float_ops.h"
#include "runtime/step_q.h"

#include <float.h>

/* The float32 that the operation gives on every machine: some carry more digits than a float has.
 * One operation in higher precision and then this give the same. */
static float single(float v)
{
#if FLT_EVAL_METHOD == 0
    return v;
#else
    volatile float stored = v;
    return stored;
#endif
}

/* Half to even, then limited to [lo, hi], which lie within 16 bits. Not a number: lo. Without
 * branches, so that compilers make vectors of it. */
int32_t deft_to_fixed(float v, int32_t lo, int32_t hi, uint32_t *clipped)
{
    const float least = (float)lo, most = (float)hi;
    const int over = v > most, under = !(v >= least);
    const float limited = over ? most : under ? least : v;
    // floats from 2^23 on are integers: the addition rounds, and the integer is in the low bits
    const float r = single(limited + 12582912.0f);
    *clipped += (uint32_t)(over | under);
    return (int32_t)deft_bits_f32(r) - 0x4B400000;
}

uint32_t deft_front_end_q(const deft_image_front *f, const float *obs, int16_t *x, uint32_t n)
{
    uint32_t clipped = 0;
    for (uint32_t i = 0; i < n; i++) {
        float v = obs[i];
        if (f->offset) v = single(v - f->offset[i]);
        if (f->scale) v = single(v * f->scale[i]);
        x[i] = (int16_t)deft_to_fixed(v, f->lo ? f->lo[i] : INT16_MIN, f->hi ? f->hi[i] : INT16_MAX,
                                      &clipped);
    }
    return clipped;
}

static float within(const deft_image_end *e, uint32_t i, float v, uint32_t *clipped)
{
    if (e->lo && v < e->lo[i]) {
        (*clipped)++;
        return e->lo[i];
    }
    if (e->hi && v > e->hi[i]) {
        (*clipped)++;
        return e->hi[i];
    }
    return v;
}

/* Output i of the network in the units of the contract. */
static float to_action(const deft_image_end *e, uint32_t i, float v, uint32_t *clipped)
{
    if (e->scale) v = single(v * e->scale[i]);
    if (e->offset) v = single(v + e->offset[i]);
    return within(e, i, v, clipped);
}

uint32_t deft_back_end_q(const deft_qstep *s, const deft_policy *p, const deft_image_back *b,
                         float *act)
{
    const deft_image_end *const e = &b->contract;
    const int discrete = p->flags & DEFT_POLICY_DISCRETE;
    uint32_t clipped = 0, i = 0, best = 0;
    float most = 0;
    for (uint32_t k = 0; k < p->n_out_segment; k++) {
        const deft_image_segment g = deft_image_segment_at(s->image + p->outputs, k);
        const void *const q = deft_qstep_source(s, g);
        for (uint32_t j = 0; j < g.length; j++, i++) {
            const int32_t number =
                b->format == DEFT_NUM_U8 ? ((const uint8_t *)q)[j] : ((const int16_t *)q)[j];
            const float v = single((float)(number - b->zero) * b->out_scale[i]);
            if (discrete) {
                if (i == 0 || v > most) { // the first of equals
                    most = v;
                    best = i;
                }
                continue;
            }
            act[i] = to_action(e, i, v, &clipped);
        }
    }
    if (discrete) act[0] = (float)best;
    return clipped;
}

void deft_choose_q(const deft_qstep *s, const deft_policy *p, const deft_image_back *b, float *act)
{
    const uint8_t *choices = s->image + p->choices;
    uint32_t i = 0, first = 0, end = 0; // of the action
    float most = 0;
    for (uint32_t k = 0; k < p->n_out_segment; k++) {
        const deft_image_segment g = deft_image_segment_at(s->image + p->outputs, k);
        const void *const q = deft_qstep_source(s, g);
        for (uint32_t j = 0; j < g.length; j++, i++) {
            const float v = single((float)((b->format == DEFT_NUM_U8 ? ((const uint8_t *)q)[j]
                                                                     : ((const int16_t *)q)[j]) -
                                           b->zero) *
                                   b->out_scale[i]);
            if (i == end) { // the next action's outputs begin
                first = end;
                end += deft_image_u16(choices);
                choices += 2;
                act++;
            }
            if (i > first && !(v > most)) continue; // the first of equals
            most = v;
            act[-1] = (float)(i - first);
        }
    }
}

uint32_t deft_previous_q(const deft_image_front *f, const deft_image_end *back, const float *act,
                         int16_t *prev, uint32_t n)
{
    uint32_t clipped = 0;
    for (uint32_t i = 0; f->prev_scale && i < n; i++) {
        float v = act[i];
        if (back->offset) v = single(v - back->offset[i]);
        if (back->scale) v = single(deft_divide_f32(v, back->scale[i]));
        v = single(v * f->prev_scale[i]);
        prev[i] = (int16_t)deft_to_fixed(v, INT16_MIN, INT16_MAX, &clipped);
    }
    return clipped;
}

/* A sum of steps that feed what comes out back in: products that a compiler may fuse with what they
 * are added to or multiply in another order, a division that it may make a product, numbers too
 * small for 24 bits, which a processor may take for zero. */
int deft_floats_round(void)
{
    const float tiny = 1.17549435082228751e-38f, huge = 8.50705917302346159e+37f; // 2^-126, 2^126
    volatile float start = 0.4375f; // the compiler must not work it out
    float x = start;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 32; i++) {
        x = single(1.0f - single(single(x * x) * 1.875f));
        const float same = single(single(x * tiny) * huge);
        x = single(single(x - single(deft_divide_f32(x, 2.75f))) + single(same * 0.375f));
        sum = (sum ^ deft_bits_f32(x)) * 16777619u;
    }
    return sum == 0x0F1F4FB4u;
}
