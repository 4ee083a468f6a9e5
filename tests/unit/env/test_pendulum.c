/* Pendulum-v1 against Gymnasium's equations (tools/make_pendulum_fixture.py), and its contract. */
#include "check.h"
#include "deft/env.h"

#include <math.h>
#include <string.h>

static void test_fixture(deft_env *e)
{
    char path[512], line[256];
    FILE *f = fopen(check_source(path, sizeof path, "tests/golden/env/pendulum.csv"), "r");
    deft_error err = {0};
    float obs[3];
    CHECK(f && fgets(line, sizeof line, f), "%s is missing", path);
    if (!f) return;
    CHECK_OK(deft_env_pendulum_start(e, 1, -0.5, obs, &err), err);
    int rows = 0;
    for (double v[5]; fgets(line, sizeof line, f); rows++) {
        char *p = line;
        for (int i = 0; i < 5; i++) v[i] = strtod(i ? p + 1 : p, &p);
        const float u = (float)v[0];
        deft_env_step_result out;
        CHECK_OK(deft_env_step(e, &u, obs, &out, &err), err);
        for (int i = 0; i < 3; i++) {
            CHECK(fabs((double)obs[i] - v[i + 1]) < 1e-6, "row %d: obs %d is %g, not %g", rows, i,
                  (double)obs[i], v[i + 1]);
        }
        CHECK(fabs(out.reward - v[4]) < 1e-6, "row %d: reward %g, not %g", rows, out.reward, v[4]);
        CHECK(!out.terminated && out.truncated == (rows == 199), "row %d: wrong end", rows);
    }
    CHECK(rows == 200, "%d rows", rows);
    const float u = 0;
    deft_env_step_result out;
    CHECK(deft_env_step(e, &u, obs, &out, &err) == DEFT_E_ARG, "a step after the end");
    (void)fclose(f);
}

static void test_contract(deft_env *e)
{
    deft_error err = {0};
    deft_env *c = NULL;
    CHECK_OK(deft_env_clone(e, &c, &err), err);
    float a[3], b[3];
    const uint64_t seed = 9, other = 10;
    CHECK_OK(deft_env_reset(e, &seed, a, &err), err);
    CHECK_OK(deft_env_reset(c, &seed, b, &err), err);
    CHECK(a[0] == b[0] && a[2] == b[2], "the same seed gives another start");
    CHECK_OK(deft_env_reset(c, &other, b, &err), err);
    CHECK(a[0] != b[0], "another seed gives the same start");
    const float huge = 1e9f, most = 2, none = NAN;
    deft_env_step_result x, y;
    CHECK_OK(deft_env_reset(c, &seed, b, &err), err);
    CHECK_OK(deft_env_step(e, &huge, a, &x, &err), err);
    CHECK_OK(deft_env_step(c, &most, b, &y, &err), err);
    CHECK(x.reward == y.reward && a[2] == b[2], "actions are clipped to their limits");
    CHECK(deft_env_step(e, &none, a, &x, &err) == DEFT_E_RANGE, "an action that is no number");
    deft_env_destroy(c);
}

/* The same pendulum, but for the speed. */
static void test_angle(deft_env *e)
{
    deft_error err = {0};
    deft_env *angle = NULL, *copy = NULL;
    const deft_env_config cfg = {0};
    CHECK_OK(deft_env_create("pendulum-angle", &cfg, &angle, &err), err);
    CHECK_OK(deft_env_clone(angle, &copy, &err), err);
    deft_env *const both[2] = {angle, copy};
    for (int i = 0; i < 2 && both[i]; i++) {
        const deft_env_spec *spec = deft_env_get_spec(both[i]);
        CHECK(spec->n_obs == 2 && strcmp(spec->name, "pendulum-angle") == 0, "%s of %d", spec->name,
              (int)spec->n_obs);
        const uint64_t seed = 7;
        float x[3] = {0}, y[3] = {0, 0, 99};
        deft_env_step_result want = {0}, got = {0};
        CHECK_OK(deft_env_reset(e, &seed, x, &err), err);
        CHECK_OK(deft_env_reset(both[i], &seed, y, &err), err);
        while (!want.truncated) {
            const float act = x[1];
            CHECK_OK(deft_env_step(e, &act, x, &want, &err), err);
            CHECK_OK(deft_env_step(both[i], &act, y, &got, &err), err);
            CHECK(x[0] == y[0] && x[1] == y[1] && y[2] == 99 && want.reward == got.reward &&
                      want.truncated == got.truncated,
                  "pendulum-angle is another pendulum");
        }
    }
    deft_env_destroy(angle);
    deft_env_destroy(copy);
}

int main(void)
{
    deft_error err = {0};
    deft_env *e = NULL;
    const deft_env_config cfg = {0};
    CHECK_OK(deft_env_create("pendulum", &cfg, &e, &err), err);
    if (!e) return check_report();
    test_fixture(e);
    test_contract(e);
    test_angle(e);
    deft_env_destroy(e);
    return check_report();
}
