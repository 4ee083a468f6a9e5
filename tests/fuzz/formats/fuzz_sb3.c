/* fuzz_sb3.c - any bytes as the entry `data` of an archive of Stable-Baselines3. What is read
 * decides over tensors that every algorithm's names are among. */
#include "formats/sb3.h"

#include <stdlib.h>
#include <string.h>

enum { OBS = 4, ACT = 2, HIDDEN = 3, MOST = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good) abort();
}

static void add(deft_checkpoint *c, const char *name, int64_t rows, int64_t columns, deft_arena *a)
{
    const int64_t dim[] = {rows, columns};
    deft_tensor *t = &c->tensor[c->n];
    if (deft_tensor_init(t, DEFT_F32, columns ? 2 : 1, dim, a) != DEFT_OK) return;
    for (int64_t i = 0; i < t->count; i++) ((float *)t->data)[i] = (float)(i % 5) - 2;
    c->name[c->n++] = name;
}

static void fill(deft_checkpoint *c, deft_arena *a)
{
    static const char *const hidden[] = {
        "mlp_extractor.policy_net.0.weight", "actor.latent_pi.0.weight", "actor.mu.0.weight",
        "q_net.q_net.0.weight", "quantile_net.quantile_net.0.weight"};
    static const char *const head[] = {"action_net.weight", "actor.mu.2.weight",
                                       "q_net.q_net.2.weight",
                                       "quantile_net.quantile_net.2.weight"};
    c->name = DEFT_NEW_ARRAY(a, const char *, MOST);
    c->tensor = DEFT_NEW_ARRAY(a, deft_tensor, MOST);
    if (!c->name || !c->tensor) return;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) add(c, hidden[i], HIDDEN, OBS, a);
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) add(c, head[i], ACT, HIDDEN, a);
}

static void assemble(const deft_sb3 *f, deft_arena *a)
{
    const deft_assemble_options opt[] = {{0}, {.activation = "elu"}, {.logits = true}};
    deft_checkpoint c = {.source = "fuzz.zip", .sb3 = f};
    fill(&c, a);
    for (size_t k = 0; k < sizeof opt / sizeof *opt; k++) {
        deft_model *m = NULL;
        deft_error err = {0};
        const deft_status s = deft_assemble(&c, NULL, &opt[k], a, &m, &err);
        check((s == DEFT_OK) == (m != NULL) && (s == DEFT_OK || err.text[0]));
        if (m) check(deft_model_check(m, &err) == DEFT_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_arena *a = deft_arena_create((size_t)64 << 20),
               *work = deft_arena_create((size_t)64 << 20);
    const deft_sb3 *f = NULL;
    deft_error err = {0};
    if (a && work) {
        const deft_status s = sb3_data_read((deft_bytes){data, size}, work, a, &f, &err);
        check((s == DEFT_OK) == (f != NULL) && (s == DEFT_OK || err.text[0]));
        if (f) assemble(f, a);
    }
    deft_arena_destroy(work);
    deft_arena_destroy(a);
    return 0;
}
