/* Policies at random through every scheme: what the quantizer makes passes the format's own checks
 * and proofs, is the same each time, stays near the float policy, and the runtime gives the bits
 * that the evaluator here gives. */
#include "check.h"
#include "deft/emit.h"
#include "deft/kernels.h"
#include "deft/quant.h"
#include "random_model.h"

#include <math.h>
#include <string.h>

enum { MODELS = 200, EPISODES = 4, STEPS = 40, MOST = 32 };

static void record(deft_calibration *c, const deft_model *m, uint64_t seed)
{
    deft_error err = {0};
    deft_rng r;
    deft_rng_seed(&r, seed);
    for (int e = 0; e < EPISODES; e++) {
        deft_calibration_reset(c);
        for (int t = 0; t < STEPS; t++) {
            float obs[MOST], applied[MOST];
            for (int i = 0; i < m->contract.n_obs; i++) obs[i] = (float)deft_rng_normal(&r);
            for (int i = 0; i < m->contract.n_act; i++)
                applied[i] = (float)deft_rng_uniform(&r, -1, 1);
            CHECK_OK(deft_calibration_add(c, obs, t && e % 2 ? applied : NULL, &err), err);
        }
    }
}

static bool start(deft_policy *p, deft_bytes image, deft_arena *a)
{
    const int32_t size = deft_policy_size(image.data, image.size);
    CHECK(size > 0, "size %d", size);
    if (size <= 0) return false;
    const deft_policy_config cfg = {image.data, image.size, deft_arena_alloc(a, (size_t)size),
                                    (size_t)size, deft_kernels_best()};
    const deft_status s = deft_policy_init(p, &cfg);
    CHECK(s == DEFT_OK, "init: %s", deft_status_str(s));
    return s == DEFT_OK;
}

/* The runtime against the evaluator: every bit of every action. */
static void run_both(const deft_qmodel *q, deft_bytes image, deft_arena *a, uint64_t seed)
{
    deft_error err = {0};
    deft_policy p;
    deft_qmodel_eval *e;
    CHECK_OK(deft_qmodel_eval_create(q, &e, &err), err);
    if (!e || !start(&p, image, a)) return;
    deft_rng r;
    deft_rng_seed(&r, seed);
    for (int t = 0; t < 30; t++) {
        float obs[MOST], applied[MOST], want[MOST], got[MOST];
        for (int i = 0; i < MOST; i++) {
            obs[i] = (float)deft_rng_normal(&r) * (t == 7 ? 50.0f : 1.0f);
            applied[i] = (float)deft_rng_uniform(&r, -1.5, 1.5);
        }
        const float *prev = t % 3 ? NULL : applied;
        const deft_status s = deft_qmodel_eval_step(e, obs, prev, want);
        CHECK(s == DEFT_OK && deft_policy_step(&p, obs, prev, got) == DEFT_OK, "step %d", t);
        const size_t bytes = (size_t)q->model->contract.n_act * sizeof(float);
        CHECK(memcmp(want, got, bytes) == 0, "step %d: %g and %g", t, (double)want[0],
              (double)got[0]);
    }
    deft_qmodel_eval_destroy(e);
}

static void proofs_hold(const deft_qmodel *q)
{
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_layer_kind kind = q->layer[k].kind;
        const int n = kind == DEFT_LAYER_DENSE                            ? 1
                      : kind == DEFT_LAYER_GRU || kind == DEFT_LAYER_LSTM ? 2
                                                                          : 0;
        for (int matrix = 0; matrix < n; matrix++) {
            deft_error err = {0};
            deft_qproof proof;
            CHECK_OK(deft_qmodel_prove(q, k, matrix, &proof, &err), err);
        }
    }
}

/* Ranges that are known are not measured. */
static void known_ranges(const deft_model *m, const deft_qmodel *q)
{
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_qlayer *l = &q->layer[k];
        const bool tanh = m->layer[k].activation.kind == DEFT_ACT_TANH;
        if (tanh && l->out_format == DEFT_NUM_S16)
            CHECK(l->out_scale[0] == 1.0f / 32768, "tanh: %g", (double)l->out_scale[0]);
        if (tanh && l->out_format == DEFT_NUM_U8)
            CHECK(l->out_scale[0] == 1.0f / 128 && l->zero == 128, "tanh: zero %d", l->zero);
        if (l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM)
            CHECK(l->out_scale[0] == 1.0f / 32768, "state: %g", (double)l->out_scale[0]);
        if (m->layer[k].activation.kind == DEFT_ACT_RELU && l->out_format == DEFT_NUM_U8)
            CHECK(l->zero == 0 && l->lo == 0 && l->hi == 255, "ReLU: %d to %d", l->lo, l->hi);
    }
}

static void try_scheme(const deft_model *m, const deft_calibration *c, const char *scheme,
                       uint64_t seed, double *sqnr)
{
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    const deft_quant_options opt = {.scheme = scheme};
    deft_qmodel *q = NULL, *again = NULL;
    const deft_status s = deft_quantize(m, c, &opt, a, &q, &err);
    // what the format cannot hold: a normalisation over sources of two scales, and products of two
    // very coarse numbers
    const bool scales = s == DEFT_E_UNSUPPORTED && strstr(err.text, "scales of their own");
    const bool coarse = s == DEFT_E_RANGE && strcmp(scheme, "pow2") == 0 && strstr(err.text, "mul");
    CHECK(s == DEFT_OK || scales || coarse, "%s: %s", scheme, err.text);
    if (s == DEFT_OK) {
        deft_bytes image, image_again;
        CHECK_OK(deft_quantize(m, c, &opt, a, &again, &err), err);
        CHECK_OK(deft_image_write_q(q, NULL, a, &image, &err), err);
        CHECK_OK(deft_image_write_q(again, NULL, a, &image_again, &err), err);
        CHECK(image.size == image_again.size &&
                  memcmp(image.data, image_again.data, image.size) == 0,
              "%s: another image the second time", scheme);
        proofs_hold(q);
        if (strcmp(scheme, "int8") == 0) known_ranges(m, q);
        run_both(q, image, a, seed);
        deft_quant_report report;
        CHECK_OK(deft_quant_measure(m, q, c, a, &report, &err), err);
        *sqnr = report.layer[0].sqnr_db;
    }
    deft_arena_destroy(a);
}

int main(void)
{
    static const char *const schemes[] = {"int8", "w8a16", "w4a8", "w4a16", "int16", "pow2"};
    deft_rng r;
    deft_rng_seed(&r, 5);
    double worst[6] = {1e9, 1e9, 1e9, 1e9, 1e9, 1e9};
    for (int k = 0; k < MODELS; k++) {
        deft_error err = {0};
        deft_arena *a = deft_arena_create(0);
        deft_model *m = random_model(&r, a, 6, 24);
        deft_calibration *c = NULL;
        CHECK_OK(deft_calibration_create(m, 0, &c, &err), err);
        record(c, m, (uint64_t)k);
        for (int s = 0; s < 6; s++) {
            double sqnr = 1e9;
            try_scheme(m, c, schemes[s], (uint64_t)k, &sqnr);
            if (sqnr < worst[s]) worst[s] = sqnr;
        }
        deft_calibration_destroy(c);
        deft_arena_destroy(a);
    }
    for (int s = 0; s < 6; s++) printf("%s: first layers at least %.1f dB\n", schemes[s], worst[s]);
    return check_report();
}
