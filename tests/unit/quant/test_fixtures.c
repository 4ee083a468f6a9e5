/* Policies as exporters write them: each is quantized from the recording beside it and stays within
 * a stated error of its actions. */
#include "policy_files.h"

#include <math.h>

static double largest_action(const deft_model *m, const deft_calibration *c)
{
    // the scale of what the policy outputs, for errors relative to it
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_quant_report r;
    deft_qmodel *q;
    const deft_quant_options wide = {.scheme = "int16"};
    double most = 0;
    if (deft_quantize(m, c, &wide, a, &q, &err) == DEFT_OK &&
        deft_quant_measure(m, q, c, a, &r, &err) == DEFT_OK)
        for (int32_t i = 0; i < m->n_output; i++)
            most = fmax(most, (double)q->out_scale[i] * 32767 / 4);
    deft_arena_destroy(a);
    return most;
}

static void check_scheme(const char *path, const deft_model *m, const deft_calibration *c,
                         const char *scheme, double bound)
{
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    const deft_quant_options opt = {.scheme = scheme};
    deft_qmodel *q;
    deft_quant_report r = {0};
    CHECK_OK(deft_quantize(m, c, &opt, a, &q, &err), err);
    if (err.status == DEFT_OK) CHECK_OK(deft_quant_measure(m, q, c, a, &r, &err), err);
    CHECK(err.status == DEFT_OK, "%s: %s", path, err.text);
    if (err.status == DEFT_OK && !m->contract.discrete) {
        const double scale = fmax(1, largest_action(m, c));
        CHECK(r.action_rms < bound * scale, "%s: %s: rms error %.5f of %.3g", path, scheme,
              r.action_rms, scale);
        CHECK(r.free_action_rms < 2 * bound * scale, "%s: %s: rms error %.5f running free", path,
              scheme, r.free_action_rms);
    }
    deft_arena_destroy(a);
}

static void check_policy(const char *path)
{
    deft_arena *a = deft_arena_create(0);
    deft_graph *g;
    const deft_model *m = read_policy(path, a, &g);
    deft_calibration *c = m ? read_recording(path, m, a) : NULL;
    if (c) {
        check_scheme(path, m, c, "int8", 0.005);
        check_scheme(path, m, c, "w8a16", 0.004);
        check_scheme(path, m, c, "w4a8", 0.03);
        check_scheme(path, m, c, "int16", 0.0005);
    }
    deft_calibration_destroy(c);
    deft_arena_destroy(a);
}

int main(void)
{
    CHECK(each_policy(check_policy) > 20, "the fixtures are not there");
    return check_report();
}
