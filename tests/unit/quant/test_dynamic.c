/* Dynamic quantization of graphs: runs in the reference evaluator, near the float graph, with one
 * quantizer per tensor; per column it is nearer. */
#include "policy_files.h"

#include <math.h>

static double run(const deft_graph *g, const deft_graph *q)
{
    deft_error err = {0};
    deft_controller *a = NULL, *b = NULL;
    double worst = 0;
    CHECK_OK(deft_controller_from_graph(g, &a, &err), err);
    CHECK_OK(deft_controller_from_graph(q, &b, &err), err);
    deft_rng r;
    deft_rng_seed(&r, 3);
    for (int t = 0; a && b && t < 30; t++) {
        float obs[64], want[64], got[64];
        for (int i = 0; i < 64; i++) obs[i] = (float)deft_rng_normal(&r);
        CHECK_OK(deft_controller_step(a, obs, NULL, want, &err), err);
        CHECK_OK(deft_controller_step(b, obs, NULL, got, &err), err);
        for (int i = 0; i < deft_controller_n_act(a); i++)
            worst = fmax(worst, fabs((double)(want[i] - got[i])));
    }
    deft_controller_destroy(a);
    deft_controller_destroy(b);
    return worst;
}

static int count(const deft_graph *g, const char *op)
{
    int n = 0;
    for (int32_t k = 0; k < g->n_node; k++) n += strcmp(g->node[k].op, op) == 0;
    return n;
}

static void check_policy(const char *name)
{
    char path[512];
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_graph *g, *tensor, *column;
    CHECK_OK(deft_onnx_read_file(check_source(path, sizeof path, name), a, &g, &err), err);
    const int products = count(g, "MatMul") + count(g, "Gemm");
    CHECK_OK(deft_quant_dynamic(g, false, a, &tensor, &err), err);
    CHECK_OK(deft_quant_dynamic(g, true, a, &column, &err), err);
    CHECK(count(tensor, "MatMulInteger") == products && count(tensor, "MatMul") == 0, "%s", name);
    const double t = run(g, tensor), c = run(g, column);
    printf("%s: %.4f, per column %.4f\n", name, t, c);
    CHECK(t > 0 && t < 0.1, "%s: %g", name, t);
    CHECK(c < 0.05, "%s: %g", name, c);
    deft_arena_destroy(a);
}

int main(void)
{
    check_policy("tests/golden/policies/rsl_rl_elu.onnx");
    check_policy("tests/golden/policies/sb3_td3_opset9.onnx");
    check_policy("tests/golden/policies/aug_slices.onnx");
    return check_report();
}
