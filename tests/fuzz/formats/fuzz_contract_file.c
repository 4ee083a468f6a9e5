/* fuzz_contract_file.c - any file as a contract of one's own, put on a small policy. What is taken
 * must pass the model's checks and be written as ONNX; what the template says of it, if nothing is
 * unknown, must be read again and change nothing. */
#include "deft/contract.h"
#include "deft/formats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_OBS = 12, N_ACT = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A dense layer of 12 inputs, which reads the last ones first, and 2 outputs; with a normaliser of
 * its own or without. */
static void make_model(deft_model *m, deft_arena *a, bool normalised)
{
    static const deft_segment obs[] = {{DEFT_SRC_OBS, 0, 5, N_OBS - 5}, {DEFT_SRC_OBS, 0, 0, 5}},
                              out = {DEFT_SRC_LAYER, 0, 0, N_ACT};
    static const float offset[N_OBS] = {1, 0, 3},
                       scale[N_OBS] = {1, 2, 3, 1, 1, 1, 1, 1, 1, 1, 1, -2};
    static const float lo[N_OBS] = {-5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5};
    deft_layer *l = DEFT_NEW(a, deft_layer);
    *l = (deft_layer){.kind = DEFT_LAYER_DENSE, .name = "l", .n_in = N_OBS, .n_out = N_ACT};
    l->n_segment = 2;
    l->in = deft_arena_copy(a, obs, sizeof obs);
    l->weight = DEFT_NEW_ARRAY(a, float, N_OBS *N_ACT);
    *m = (deft_model){.arena = a, .source = "", .n_layer = 1, .layer = l, .n_output = N_ACT};
    m->contract = (deft_contract){.name = "", .n_obs = N_OBS, .n_act = N_ACT};
    m->out = deft_arena_copy(a, &out, sizeof out);
    m->n_out_segment = 1;
    if (!normalised) return;
    m->contract.obs_offset = deft_arena_copy(a, offset, sizeof offset);
    m->contract.obs_scale = deft_arena_copy(a, scale, sizeof scale);
    m->contract.obs_lo = deft_arena_copy(a, lo, sizeof lo);
    m->contract.act_scale = deft_arena_copy(a, scale + 1, 2 * sizeof *scale);
}

static void same(const float *a, const float *b, int32_t n, float otherwise)
{
    for (int32_t i = 0; i < n; i++)
        if ((a ? a[i] : otherwise) != (b ? b[i] : otherwise)) abort();
}

static void check_same(const deft_contract *a, const deft_contract *b)
{
    const int32_t n = a->n_obs;
    if (n != b->n_obs || a->period_s != b->period_s || a->n_note != b->n_note) abort();
    same(a->obs_offset, b->obs_offset, n, 0);
    same(a->obs_scale, b->obs_scale, n, 1);
    same(a->obs_lo, b->obs_lo, n, -INFINITY);
    same(a->obs_hi, b->obs_hi, n, INFINITY);
    same(a->obs_least, b->obs_least, n, -INFINITY);
    same(a->obs_most, b->obs_most, n, INFINITY);
    same(a->act_offset, b->act_offset, N_ACT, 0);
    same(a->act_scale, b->act_scale, N_ACT, 1);
    same(a->act_lo, b->act_lo, N_ACT, -INFINITY);
    same(a->act_hi, b->act_hi, N_ACT, INFINITY);
    for (int32_t i = 0; i < n; i++)
        if (strcmp(a->obs_name[i], b->obs_name[i]) != 0) abort();
}

static void try_on(const deft_contract_file *f, deft_arena *a, bool normalised)
{
    deft_model m;
    deft_error err = {0};
    deft_bytes onnx;
    make_model(&m, a, normalised);
    if (deft_model_apply_contract(&m, f, &err) != DEFT_OK) {
        if (!err.text[0]) abort();
        return;
    }
    if (deft_onnx_write(&m, a, &onnx, &err) != DEFT_OK) abort();
    const deft_contract before = m.contract;
    const int32_t n_layer = m.n_layer;
    const char *const text = deft_contract_template(&m, a);
    deft_contract_file again;
    if (!text) abort();
    const deft_bytes bytes = {(const uint8_t *)text, strlen(text)};
    if (deft_contract_read(bytes, "again", a, &again, &err) != DEFT_OK) {
        if (!strstr(text, "null")) abort(); // all is known
        return;
    }
    if (deft_model_apply_contract(&m, &again, &err) != DEFT_OK || m.n_layer != n_layer) abort();
    check_same(&before, &m.contract);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536) return 0;
    deft_arena *a = deft_arena_create((size_t)256 << 20);
    if (!a) return 0;
    deft_contract_file f;
    deft_error err = {0};
    const deft_bytes bytes = {data, size};
    if (deft_contract_read(bytes, "file", a, &f, &err) == DEFT_OK) {
        try_on(&f, a, false);
        try_on(&f, a, true);
    } else if (!err.text[0]) {
        abort();
    }
    deft_arena_destroy(a);
    return 0;
}
