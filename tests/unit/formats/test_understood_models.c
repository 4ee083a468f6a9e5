/* test_understood_models.c - policies at random, written as ONNX and understood again: every kind
 * of layer, read from everywhere, runs as its graph does. */
#include "../emit/random_model.h"
#include "check.h"

#include "deft/formats.h"

enum { MODELS = 1000, LAYERS = 7, WIDTH = 9, STEPS = 24 };

static void check_model(uint64_t seed, int *understood)
{
    deft_rng rng;
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_rng_seed(&rng, seed);
    const deft_model *m = random_model(&rng, a, LAYERS, WIDTH);
    deft_bytes b = {0};
    deft_graph *g = NULL;
    deft_model *again = NULL;
    const deft_understand_options opt = {0};
    CHECK_OK(deft_onnx_write(m, a, &b, &err), err);
    CHECK_OK(deft_onnx_read(b, NULL, a, &g, &err), err);
    if (g) {
        const deft_status s = deft_understand(g, &opt, &again, &err);
        CHECK(s == DEFT_OK, "seed %llu: %s", (unsigned long long)seed, err.text);
        CHECK((s == DEFT_OK) == (again != NULL), "a policy or an error");
    }
    float worst = 0;
    if (again) {
        const deft_status s = deft_verify(g, again, STEPS, 1e-3f, seed, &worst, &err);
        CHECK(s == DEFT_OK, "seed %llu: %s", (unsigned long long)seed, err.text);
        ++*understood;
    }
    deft_arena_destroy(a);
}

int main(void)
{
    int understood = 0;
    for (uint64_t seed = 0; seed < MODELS; seed++) check_model(seed, &understood);
    printf("%d of %d understood\n", understood, MODELS);
    return check_report();
}
