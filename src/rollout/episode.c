/* episode.c - the loop of a policy in an environment; no locks in it. */
#include "rollout/episode.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Rows of the log, growing. */
typedef struct recorder {
    const log_shape *shape;
    double *row;
    int32_t room; // rows
} recorder;

/* The place of row `step`, NULL if memory ran out. */
static double *row_at(recorder *r, int32_t step)
{
    const size_t width = (size_t)log_width(r->shape);
    if (!r->row || step >= r->room) {
        const int32_t room = r->room ? 2 * r->room : 512;
        double *more = room > step ? realloc(r->row, (size_t)room * width * sizeof *more) : NULL;
        if (!more) return NULL;
        r->row = more;
        r->room = room;
    }
    return r->row + width * (size_t)step;
}

static deft_status record(recorder *r, const episode_runner *e, int32_t step,
                          const deft_env_step_result *x, double inference_us, deft_error *err)
{
    const log_shape *s = r->shape;
    double *to = row_at(r, step);
    if (!to) return deft_fail(err, DEFT_E_SPACE, "no memory for the log");
    const double *value = NULL;
    const int32_t n = deft_env_channels(e->env, NULL, &value);
    if (n != s->n_channel)
        return deft_fail(err, DEFT_E_MISMATCH, "the environment has %d log channels, then %d",
                         (int)s->n_channel, (int)n);
    if (n > 0) memcpy(to, value, (size_t)n * sizeof *to);
    to += n;
    for (int32_t i = 0; i < s->n_act; i++) *to++ = (double)e->act[i];
    to[LOG_REWARD] = x->reward;
    to[LOG_DISTANCE] = x->metrics.distance_cm;
    to[LOG_CURRENT] = x->metrics.current_a;
    to[LOG_INFERENCE_US] = inference_us;
    to[LOG_DONE] = x->terminated || x->truncated ? 1 : 0;
    return DEFT_OK;
}

static void add_step(deft_episode *e, const deft_env_step_result *x)
{
    e->reward += x->reward;
    e->distance_cm = x->metrics.distance_cm; // since reset: the last one counts
    e->heading_error_rad += x->metrics.heading_error_rad;
    e->torque += x->metrics.torque;
    e->current_a += x->metrics.current_a;
    e->terminated = x->terminated;
    e->steps++;
}

static void sums_to_means(deft_episode *e, int64_t inference_ns)
{
    const double n = e->steps;
    e->heading_error_rad /= n;
    e->torque /= n;
    e->current_a /= n;
    e->inference_us = (double)inference_ns / 1000 / n;
}

static deft_status run_steps(const episode_runner *r, int32_t number, recorder *rec,
                             deft_episode *out, deft_error *err)
{
    const int32_t max_steps = deft_env_get_spec(r->env)->max_steps;
    int64_t inference_ns = 0;
    for (;;) {
        deft_env_step_result x;
        if (atomic_load_explicit(r->last_wanted, memory_order_relaxed) < number)
            return DEFT_E_CANCELLED;
        const int64_t start = now_ns();
        deft_status s = deft_controller_step(r->controller, r->obs, NULL, r->act, err);
        const int64_t ns = now_ns() - start;
        if (s == DEFT_OK) s = deft_env_step(r->env, r->act, r->obs, &x, err);
        if (s == DEFT_OK && rec->shape) s = record(rec, r, out->steps, &x, (double)ns / 1000, err);
        if (s != DEFT_OK) {
            (void)deft_error_prefix(err, "step %d", (int)out->steps);
            return s;
        }
        inference_ns += ns;
        add_step(out, &x);
        // only this thread writes it
        const long long steps = atomic_load_explicit(r->steps, memory_order_relaxed);
        atomic_store_explicit(r->steps, steps + 1, memory_order_relaxed);
        if (x.terminated || x.truncated || out->steps == max_steps) break;
    }
    sums_to_means(out, inference_ns);
    return DEFT_OK;
}

deft_status episode_run(const episode_runner *r, int32_t number, const uint64_t *seed,
                        episode_result *out, deft_error *err)
{
    recorder rec = {.shape = r->log};
    const int64_t start = now_ns();
    memset(out, 0, sizeof *out);
    deft_controller_reset(r->controller);
    deft_status s = deft_env_reset(r->env, seed, r->obs, err);
    if (s == DEFT_OK) s = run_steps(r, number, &rec, &out->episode, err);
    if (s != DEFT_OK) {
        free(rec.row);
        return s;
    }
    out->log = (log_episode){.row = rec.row,
                             .steps = out->episode.steps,
                             .reward = out->episode.reward,
                             .wall_seconds = (double)(now_ns() - start) * 1e-9};
    return DEFT_OK;
}
