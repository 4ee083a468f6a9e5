/* bench_env.c - time of one control step (90 ms) in every scene of the quadruped, walking the same
 * gait, beside the paper's model where it is there. In interleaved rounds, so that a change of
 * clock or a busy neighbour meets them all.
 *
 *   bench_env [FILE.xml]...     default: models/quaid, then $DEFT_REFERENCE_DIR's obstacle, from
 *                               the top of the source tree */
#include "deft/env.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 20, STEPS = 50, MOST = 16, MAX_OBS = 64 };

typedef struct runner {
    const char *scene;
    deft_env *env;
    int step;
    double us[ROUNDS];
} runner;

static double now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A trot: knees and thighs of diagonal legs together. */
static void gait(int step, float *act)
{
    static const double leg[4] = {0, 1, 0, 1}; // back left, back right, front right, front left
    static const double side[4] = {1, -1, -1, 1};
    for (size_t l = 0; l < 4; l++) {
        const double phase = 0.9 * step + 3.14159265 * leg[l];
        act[2 * l] = (float)(0.6 * side[l] * sin(phase));
        act[2 * l + 1] = (float)(0.6 * side[l] * cos(phase));
    }
}

static int run_round(runner *r, int round)
{
    deft_error err = {0};
    float obs[MAX_OBS], act[8];
    const uint64_t seed = (uint64_t)round;
    if (round % 4 == 0) {
        if (deft_env_reset(r->env, &seed, obs, &err) != DEFT_OK) goto failed;
        r->step = 0;
    }
    const double start = now_us();
    for (int i = 0; i < STEPS; i++) {
        gait(r->step++, act);
        deft_env_step_result out;
        if (deft_env_step(r->env, act, obs, &out, &err) != DEFT_OK) goto failed;
        if (out.terminated && deft_env_reset(r->env, &seed, obs, &err) != DEFT_OK) goto failed;
    }
    r->us[round] = (now_us() - start) / STEPS;
    return 0;
failed:
    (void)fprintf(stderr, "%s: %s\n", r->scene, err.text);
    return 1;
}

int main(int argc, char **argv)
{
    static const char *const ours[] = {"models/quaid/flat.xml",     "models/quaid/obstacle.xml",
                                       "models/quaid/ramp.xml",     "models/quaid/pivot.xml",
                                       "models/quaid/soft_mat.xml", "models/quaid/rough.xml"};
    static char reference[512];
    static runner r[MOST];
    const char *const dir = getenv("DEFT_REFERENCE_DIR");
    int n = 0, failed = 0;
    for (int i = 1; i < argc && n < MOST; i++) r[n++].scene = argv[i];
    for (size_t i = 0; argc == 1 && i < sizeof ours / sizeof *ours; i++) r[n++].scene = ours[i];
    if (argc == 1 && dir) {
        (void)snprintf(reference, sizeof reference, "%s/quaid/v2/quaid_v2.xml", dir);
        r[n++].scene = reference;
    }
    for (int i = 0; i < n && !failed; i++) {
        deft_error err = {0};
        const deft_env_config cfg = {.scene = r[i].scene};
        failed = deft_env_create("quaid", &cfg, &r[i].env, &err) != DEFT_OK;
        if (failed) (void)fprintf(stderr, "%s\n", err.text);
    }
    for (int round = 0; round < ROUNDS && !failed; round++) {
        for (int i = 0; i < n && !failed; i++) failed = run_round(&r[i], round);
    }
    for (int i = 0; i < n; i++) {
        qsort(r[i].us, ROUNDS, sizeof *r[i].us, by_value);
    }
    for (int i = 0; i < n && !failed; i++) {
        printf("%7.0f us a control step, min %7.0f  %6.2f x the last  %s\n", r[i].us[ROUNDS / 2],
               r[i].us[0], r[n - 1].us[ROUNDS / 2] / r[i].us[ROUNDS / 2], r[i].scene);
    }
    for (int i = 0; i < n; i++) deft_env_destroy(r[i].env);
    return failed;
}
