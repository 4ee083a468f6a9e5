/* fuzz_contract.c - any metadata of an ONNX file as a policy's contract. The input is text, one
 * "key=value" a line; what is taken must pass the model's checks, be written, and be read back. */
#include "deft/formats.h"
#include "formats/contract_json.h"

#include <stdlib.h>
#include <string.h>

enum { N_OBS = 7, N_ACT = 2, MAX_META = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A dense layer of 7 inputs and 2 outputs. */
static void make_model(deft_model *m, deft_arena *a)
{
    static const deft_segment obs = {DEFT_SRC_OBS, 0, 0, N_OBS},
                              out = {DEFT_SRC_LAYER, 0, 0, N_ACT};
    deft_layer *l = DEFT_NEW(a, deft_layer);
    *l = (deft_layer){.kind = DEFT_LAYER_DENSE, .name = "l", .n_in = N_OBS, .n_out = N_ACT};
    l->n_segment = 1;
    l->in = deft_arena_copy(a, &obs, sizeof obs);
    l->weight = DEFT_NEW_ARRAY(a, float, N_OBS *N_ACT);
    *m = (deft_model){.arena = a, .source = "", .n_layer = 1, .layer = l, .n_output = N_ACT};
    m->contract = (deft_contract){.name = "", .n_obs = N_OBS, .n_act = N_ACT};
    m->out = deft_arena_copy(a, &out, sizeof out);
    m->n_out_segment = 1;
}

static void split_lines(deft_graph *g, char *text)
{
    while (text && *text && g->n_meta < MAX_META) {
        char *end = strchr(text, '\n');
        if (end) *end = '\0';
        char *value = strchr(text, '=');
        if (value) {
            *value = '\0';
            g->meta[g->n_meta++] = (deft_meta){text, value + 1};
        }
        text = end ? end + 1 : NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536) return 0;
    deft_arena *a = deft_arena_create((size_t)64 << 20);
    if (!a) return 0;
    deft_graph g = {.arena = a, .meta = DEFT_NEW_ARRAY(a, deft_meta, MAX_META)};
    deft_model m;
    deft_error err = {0};
    make_model(&m, a);
    split_lines(&g, deft_arena_strndup(a, size ? (const char *)data : "", size));
    const deft_status s = deft_onnx_contract(&g, &m, &err);
    if (s != DEFT_OK && !err.text[0]) abort();
    if (s == DEFT_OK) {
        const deft_contract before = m.contract;
        deft_bytes bytes = {0};
        char *json = contract_to_json(&m, a);
        if (!json || contract_from_json(json, &m, &err) != DEFT_OK) abort();
        if (before.n_note != m.contract.n_note || before.period_s != m.contract.period_s) abort();
        if (deft_onnx_write(&m, a, &bytes, &err) != DEFT_OK) abort();
    }
    deft_arena_destroy(a);
    return 0;
}
