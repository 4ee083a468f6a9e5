/* policy.c - size, init, reset, step, selftest: what all policies have in common. Part of the
 * freestanding runtime. */
#include "runtime/step.h"

#include <string.h>

enum { ALIGN = 16 };

static deft_status open_image(deft_image *im, const void *image, size_t size)
{
    return deft_image_open_as(im, image, size, deft_runtime_parts.f32_images,
                              deft_runtime_parts.q_images);
}

static const deft_engine *engine_of(const deft_image *im)
{
    return im->integer ? deft_runtime_parts.q : deft_runtime_parts.f32;
}

static int32_t size_of(const void *image, size_t image_size, int kept)
{
    deft_image im;
    deft_status s = open_image(&im, image, image_size);
    if (s == DEFT_OK) s = engine_of(&im)->served(&im, deft_runtime_parts.kernels);
    if (s != DEFT_OK) return (int32_t)s;
    const int32_t least = engine_of(&im)->size(&im, 0);
    const int32_t more = kept ? engine_of(&im)->size(&im, 1) : least;
    // an image may ask for more than its layers need
    return least < 0 || more < least ? (more < 0 ? more : least) : more;
}

int32_t deft_policy_size(const void *image, size_t image_size)
{
    return size_of(image, image_size, 0);
}

int32_t deft_policy_size_kept(const void *image, size_t image_size)
{
    return size_of(image, image_size, 1);
}

/* Everything but the arena. */
static deft_status start(deft_policy *p, const deft_policy_config *cfg, deft_image *im)
{
    const deft_kernels *const kernels = cfg->kernels ? cfg->kernels : deft_runtime_parts.kernels;
    deft_status s = open_image(im, cfg->image, cfg->image_size);
    if (s != DEFT_OK) return s;
    const deft_engine *const e = engine_of(im);
    s = e->served(im, kernels);
    if (s != DEFT_OK) return s;
    const int32_t least = e->size(im, 0), kept = e->size(im, 1);
    if (least < 0) return (deft_status)least;
    if (cfg->arena_size < (uint32_t)least) return DEFT_E_SPACE;
    if (kept > 0 && cfg->arena_size >= (uint32_t)kept) p->flags = DEFT_POLICY_KEPT;
    p->cfg = *cfg;
    p->cfg.kernels = kernels;
    p->engine = e;
    p->n_obs = im->n_obs;
    p->n_act = im->n_act;
    p->n_layer = im->n_layer;
    p->flags |= im->flags; // images have no other flag than "discrete"
    p->period_us = im->period_us;
    memcpy(p->policy_id, im->data + 32, sizeof p->policy_id);
    p->n_output = im->n_output;
    p->directory = im->directory;
    p->front_end = im->front_end;
    p->back_end = im->back_end;
    p->outputs = im->outputs;
    p->n_out_segment = im->n_out_segment;
    p->selftest = im->selftest;
    p->tables = im->tables;
    p->choices = im->choices;
    return DEFT_OK;
}

deft_status deft_policy_init(deft_policy *p, const deft_policy_config *cfg)
{
    if (!p) return DEFT_E_ARG;
    memset(p, 0, sizeof *p);
    if (!cfg || !cfg->arena || (uintptr_t)cfg->arena % ALIGN != 0) return DEFT_E_ARG;
    deft_image im;
    const deft_status s = start(p, cfg, &im);
    if (s != DEFT_OK) return s;
    p->engine->bind(p, &im);
    deft_policy_reset(p);
    return DEFT_OK;
}

void deft_policy_reset(deft_policy *p)
{
    if (!p->engine) return; // init refused: there is no image and no arena
    p->flags &= (uint16_t) ~(uint16_t)DEFT_POLICY_STARTED;
    p->saturated = 0;
    p->engine->reset(p);
}

void deft_policy_clipped(deft_policy *p, uint32_t n)
{
    p->saturated = n > UINT32_MAX - p->saturated ? UINT32_MAX : p->saturated + n;
}

deft_status deft_policy_step(deft_policy *p, const float *obs, const float *applied_prev,
                             float *act)
{
    if (!p->engine) return DEFT_E_ARG; // init refused
    if (!deft_all_finite(obs, p->n_obs)) return DEFT_E_RANGE;
    if (applied_prev && !deft_all_finite(applied_prev, p->n_act)) return DEFT_E_RANGE;
    const deft_status s = p->engine->step(p, obs, applied_prev, act);
    if (s == DEFT_OK) p->flags |= DEFT_POLICY_STARTED;
    return s;
}

deft_status deft_policy_layer(const deft_policy *p, uint32_t index, deft_layer_output *out)
{
    memset(out, 0, sizeof *out);
    if (index >= p->n_layer) return DEFT_E_ARG;
    p->engine->layer(p, index, out);
    return out->data ? DEFT_OK : DEFT_E_UNSUPPORTED;
}

const float *deft_policy_layer_f32(const deft_policy *p, uint32_t index, uint32_t *n)
{
    deft_layer_output y;
    if (deft_policy_layer(p, index, &y) != DEFT_OK || y.format != DEFT_NUM_F32) return NULL;
    *n = y.n;
    return y.data;
}

deft_status deft_policy_selftest(deft_policy *p)
{
    if (!p->engine) return DEFT_E_ARG;
    deft_policy_reset(p);
    if (!p->selftest) return DEFT_E_UNSUPPORTED;
    const uint8_t *const payload = (const uint8_t *)p->cfg.image + p->selftest;
    const uint32_t steps = deft_image_u16(payload);
    const float *const obs = (const float *)(const void *)(payload + 4);
    const float *const expected = obs + (size_t)steps * p->n_obs;
    // A step writes act last, so the beginning of the arena's scratch can take it.
    float *const act = (float *)(void *)((uint8_t *)p->cfg.arena + p->act_offset);
    deft_status s = p->engine->rounds(p) ? DEFT_OK : DEFT_E_MISMATCH;
    for (uint32_t t = 0; s == DEFT_OK && t < steps; t++) {
        s = deft_policy_step(p, obs + (size_t)t * p->n_obs, NULL, act);
        if (s == DEFT_OK &&
            memcmp(act, expected + (size_t)t * p->n_act, p->n_act * sizeof *act) != 0) {
            s = DEFT_E_MISMATCH;
        }
    }
    deft_policy_reset(p);
    return s == DEFT_OK ? DEFT_OK : DEFT_E_MISMATCH;
}
