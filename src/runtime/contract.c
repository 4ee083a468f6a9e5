/* contract.c - between the world's units and the network's. Part of the freestanding runtime. */
#include "base/float_rules.h"

#include "base/float_ops.h"
#include "runtime/step.h"

static float clip(const deft_image_end *e, uint32_t i, float x, uint32_t *clipped)
{
    if (e->lo && x < e->lo[i]) {
        (*clipped)++;
        return e->lo[i];
    }
    if (e->hi && x > e->hi[i]) {
        (*clipped)++;
        return e->hi[i];
    }
    return x;
}

uint32_t deft_front_end(const deft_image_end *e, const float *obs, float *x, uint32_t n)
{
    uint32_t clipped = 0;
    for (uint32_t i = 0; i < n; i++) {
        float v = obs[i];
        if (e->offset) v = v - e->offset[i];
        if (e->scale) v = v * e->scale[i];
        x[i] = clip(e, i, v, &clipped);
    }
    return clipped;
}

uint32_t deft_back_end(const deft_image_end *e, const float *y, float *act, uint32_t n)
{
    uint32_t clipped = 0;
    for (uint32_t i = 0; i < n; i++) {
        float v = y[i];
        if (e->scale) v = v * e->scale[i];
        if (e->offset) v = v + e->offset[i];
        act[i] = clip(e, i, v, &clipped);
    }
    return clipped;
}

void deft_back_end_inverse(const deft_image_end *e, const float *act, float *prev, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float v = act[i];
        if (e->offset) v = v - e->offset[i];
        if (e->scale) v = deft_divide_f32(v, e->scale[i]);
        prev[i] = v;
    }
}
