/* image_selftest.c - the recorded test of an image: what the reference interpreter answers to a few
 * recurrent steps of random observations. */
#include "emit/image_emit.h"

#include <math.h>
#include <string.h>

static bool has_state(const deft_model *m)
{
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer_kind kind = m->layer[k].kind;
        if (kind == DEFT_LAYER_GRU || kind == DEFT_LAYER_LSTM || kind == DEFT_LAYER_HISTORY) {
            return true;
        }
        for (int32_t g = 0; g < m->layer[k].n_segment; g++) {
            if (m->layer[k].in[g].kind == DEFT_SRC_PREV) return true;
        }
    }
    return false;
}

/* Observations that are standard normal times `size` behind the contract. */
static void fill_observations(const deft_contract *c, float size, image_selftest *t)
{
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    for (int32_t k = 0; k < t->steps * c->n_obs; k++) {
        const int32_t i = k % c->n_obs;
        const float x = size * (float)deft_rng_normal(&rng);
        const float scale = c->obs_scale ? c->obs_scale[i] : 1;
        const float obs = scale != 0 ? x / scale : x;
        t->obs[k] = c->obs_offset ? obs + c->obs_offset[i] : obs;
    }
}

static bool run(deft_model_eval *e, const deft_contract *c, image_selftest *t)
{
    deft_model_eval_reset(e);
    for (int32_t k = 0; k < t->steps; k++) {
        float *const act = t->act + (size_t)k * (size_t)c->n_act;
        const float *const obs = t->obs + (size_t)k * (size_t)c->n_obs;
        for (int32_t i = 0; i < c->n_obs; i++) {
            if (!isfinite(obs[i])) return false;
        }
        if (deft_model_eval_step(e, obs, NULL, act) != DEFT_OK) return false;
        for (int32_t i = 0; i < c->n_act; i++) {
            if (!isfinite(act[i])) return false;
        }
    }
    return true;
}

deft_status image_selftest_make(const deft_model *m, deft_arena *a, image_selftest *out,
                                deft_error *err)
{
    const deft_contract *c = &m->contract;
    memset(out, 0, sizeof *out);
    out->steps = has_state(m) ? IMAGE_TEST_STATE : IMAGE_TEST_PLAIN;
    out->obs = DEFT_NEW_ARRAY(a, float, (size_t)out->steps *(size_t)c->n_obs);
    out->act = DEFT_NEW_ARRAY(a, float, (size_t)out->steps *(size_t)c->n_act);
    if (!out->obs || !out->act) return deft_fail(err, DEFT_E_SPACE, "no memory for the self-test");
    deft_model_eval *e = NULL;
    const deft_status s = deft_model_eval_create(m, &e, err);
    if (s != DEFT_OK) return s;
    // Weights of a huge policy may overflow on ordinary observations; then smaller ones.
    float size = 1;
    int tries = 0;
    for (bool good = false; !good && tries < 3; size *= 1e-3f, tries++) {
        fill_observations(c, size, out);
        good = run(e, c, out);
        if (!good && tries == 2) out->steps = 0;
    }
    deft_model_eval_destroy(e);
    return DEFT_OK;
}
