/* rollout_run.c - episodes on threads. Workers share a counter of episodes and meet at a lock once
 * an episode; everything else (progress, log, collecting) is done by the thread that called. */
#include "rollout/episode.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    DEFAULT_EPISODES = 10,
    MAX_JOBS = 256,
    LINE = 128,         // two cache lines: neighbours are fetched in pairs
    TICK_NS = 100000000 // between calls of progress
};

typedef struct slot {
    episode_result result;
    bool finished;
} slot;

typedef struct crew crew;

typedef struct worker {
    crew *crew;
    pthread_t thread;
    episode_runner run;
    double physics_seconds;
    float *numbers; // obs and act
    deft_error err;
    atomic_llong steps;
} worker;

struct crew {
    const deft_rollout_config *cfg;
    int32_t episodes;
    int32_t ahead; // no episode starts before all but so many before it are in the log
    int32_t jobs;  // of the calling thread alone
    worker *worker[MAX_JOBS];
    atomic_int next, last_wanted;
    log_shape shape;
    rollout_log *log;
    pthread_mutex_t mutex;
    pthread_cond_t to_caller, to_workers;
    // behind the mutex:
    slot *slot; // [episodes]
    int32_t done, written, running;
    deft_error error; // of the failed episode with the lowest number
    int32_t failed;   // that number
};

/* --- workers --------------------------------------------------------------------------------- */

static void give_up_after(crew *c, int32_t number)
{
    if (atomic_load(&c->last_wanted) > number) atomic_store(&c->last_wanted, number);
    (void)pthread_cond_broadcast(&c->to_workers);
}

/* Keeps unwritten episodes few: nobody runs further ahead of the log than this. */
static void wait_for_log(crew *c, int32_t number)
{
    if (!c->log) return;
    (void)pthread_mutex_lock(&c->mutex);
    while (number - c->written >= c->ahead && number <= atomic_load(&c->last_wanted))
        (void)pthread_cond_wait(&c->to_workers, &c->mutex);
    (void)pthread_mutex_unlock(&c->mutex);
}

static void hand_over(crew *c, worker *w, int32_t number, deft_status s, const episode_result *r)
{
    (void)pthread_mutex_lock(&c->mutex);
    if (s == DEFT_OK) {
        c->slot[number].result = *r;
        c->slot[number].finished = true;
        c->done++;
    } else if (s != DEFT_E_CANCELLED && number < c->failed) {
        c->failed = number;
        c->error = w->err;
        c->error.status = s;
        // earlier episodes go on: whichever fails first is the error, however many jobs there are
        give_up_after(c, number);
    }
    (void)pthread_cond_signal(&c->to_caller);
    (void)pthread_mutex_unlock(&c->mutex);
}

static void *work(void *user)
{
    worker *w = user;
    crew *c = w->crew;
    const double physics = deft_env_physics_seconds(w->run.env);
    for (;;) {
        const int32_t number = atomic_fetch_add(&c->next, 1);
        if (number >= c->episodes) break;
        wait_for_log(c, number);
        if (number > atomic_load(&c->last_wanted)) break;
        deft_rng rng;
        deft_rng_seed_stream(&rng, c->cfg->seed, (uint64_t)number);
        const uint64_t seed = deft_rng_u64(&rng);
        episode_result r;
        const deft_status s =
            episode_run(&w->run, number, c->cfg->unperturbed ? NULL : &seed, &r, &w->err);
        hand_over(c, w, number, s, &r);
        if (s != DEFT_OK) break;
    }
    w->physics_seconds = deft_env_physics_seconds(w->run.env) - physics;
    (void)pthread_mutex_lock(&c->mutex);
    c->running--;
    (void)pthread_cond_signal(&c->to_caller);
    (void)pthread_mutex_unlock(&c->mutex);
    return NULL;
}

static void destroy_worker(worker *w)
{
    if (!w) return;
    deft_controller_destroy(w->run.controller);
    deft_env_destroy(w->run.env);
    free(w->numbers);
    free(w);
}

static void *own_lines(size_t size)
{
    void *p = aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);
    if (p) memset(p, 0, size);
    return p;
}

static deft_status create_worker(crew *c, const deft_controller *controller, const deft_env *env,
                                 worker **out, deft_error *err)
{
    const deft_env_spec *spec = deft_env_get_spec(env);
    worker *w = own_lines(sizeof *w);
    if (!w) return deft_fail(err, DEFT_E_SPACE, "no memory for a worker");
    *out = w;
    w->crew = c;
    w->numbers = own_lines(((size_t)spec->n_obs + (size_t)spec->n_act) * sizeof *w->numbers);
    if (!w->numbers) return deft_fail(err, DEFT_E_SPACE, "no memory for a worker");
    deft_status s = deft_controller_clone(controller, &w->run.controller, err);
    if (s == DEFT_OK) s = deft_controller_bind(w->run.controller, spec, err);
    if (s == DEFT_OK) s = deft_env_clone(env, &w->run.env, err);
    w->run.obs = w->numbers;
    w->run.act = w->numbers + spec->n_obs;
    w->run.log = c->log ? &c->shape : NULL;
    w->run.last_wanted = &c->last_wanted;
    w->run.steps = &w->steps;
    return s;
}

/* --- the calling thread ---------------------------------------------------------------------- */

static int64_t steps_done(const crew *c)
{
    int64_t n = 0;
    for (int32_t i = 0; i < c->jobs; i++)
        n += atomic_load_explicit(&c->worker[i]->steps, memory_order_relaxed);
    return n;
}

static void stop(crew *c, deft_status s, const deft_error *err)
{
    (void)pthread_mutex_lock(&c->mutex);
    if (c->error.status == DEFT_OK) { // what went wrong first stays the reason
        c->failed = -1;
        c->error = *err;
        c->error.status = s;
    }
    give_up_after(c, -1);
    (void)pthread_mutex_unlock(&c->mutex);
}

/* Episodes behind a failed one do not count, although some of them may be finished. */
static int32_t counting(const crew *c)
{
    return c->failed >= 0 && c->failed < c->episodes ? c->failed : c->episodes;
}

/* Writes episodes below `end` that are finished, in order; with gaps once nothing will fill them
 * any more. */
static deft_status write_finished(crew *c, int32_t end, bool gaps)
{
    deft_error err = {0};
    deft_status s = DEFT_OK;
    for (int32_t k = c->written; c->log && s == DEFT_OK && k < end; k++) {
        (void)pthread_mutex_lock(&c->mutex);
        const bool finished = c->slot[k].finished && k < counting(c);
        log_episode *e = finished ? &c->slot[k].result.log : NULL;
        (void)pthread_mutex_unlock(&c->mutex);
        if (!e && !gaps) break;
        if (!e) continue;
        s = log_write(c->log, e, &err); // nobody else touches a finished slot
        free(e->row);
        e->row = NULL;
        (void)pthread_mutex_lock(&c->mutex);
        c->written = k + 1;
        (void)pthread_cond_broadcast(&c->to_workers);
        (void)pthread_mutex_unlock(&c->mutex);
    }
    if (s != DEFT_OK) stop(c, s, &err);
    return s;
}

static struct timespec deadline(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += TICK_NS;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

/* After every episode since `reported`, and at least once. */
static bool report(const crew *c, int32_t reported, int32_t done)
{
    if (!c->cfg->progress) return true;
    do {
        if (reported < done) reported++;
        if (c->cfg->progress(c->cfg->user, reported, steps_done(c)) != 0) return false;
    } while (reported < done);
    return true;
}

static void attend(crew *c)
{
    int32_t reported = 0, done = 0, running = c->jobs;
    bool cancelled = false, log_failed = false;
    while (running > 0 || reported < done) {
        const struct timespec until = deadline();
        (void)pthread_mutex_lock(&c->mutex);
        while (c->done == reported && c->running == running && running > 0 &&
               pthread_cond_timedwait(&c->to_caller, &c->mutex, &until) == 0) {
        }
        done = c->done;
        running = c->running;
        (void)pthread_mutex_unlock(&c->mutex);
        // what is finished meanwhile waits for the next round: progress has its turn
        if (!log_failed) log_failed = write_finished(c, done, false) != DEFT_OK;
        if (!cancelled && !report(c, reported, done)) {
            const deft_error none = {0};
            cancelled = true;
            stop(c, DEFT_E_CANCELLED, &none);
        }
        reported = done;
    }
    if (!log_failed) (void)write_finished(c, c->episodes, true);
}

static int32_t count_jobs(const deft_rollout_config *cfg, int32_t episodes)
{
    long n = cfg->jobs;
    if (n == 0) n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n > MAX_JOBS) n = MAX_JOBS;
    if (n > episodes) n = episodes;
    return n < 1 ? 1 : (int32_t)n;
}

static deft_status start_workers(crew *c, deft_error *err)
{
    int32_t started = 0;
    c->running = c->jobs;
    for (; started < c->jobs; started++) {
        worker *w = c->worker[started];
        if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    }
    // fewer do as well
    (void)pthread_mutex_lock(&c->mutex);
    c->running -= c->jobs - started;
    (void)pthread_mutex_unlock(&c->mutex);
    for (int32_t i = started; i < c->jobs; i++) destroy_worker(c->worker[i]);
    c->jobs = started;
    return started > 0
               ? DEFT_OK
               : deft_fail(
                     err, DEFT_E_SPACE,
                     "no memory for a thread (ulimit -v), or no more of them allowed (ulimit -u)");
}

static deft_status run_crew(crew *c, deft_error *err)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&c->mutex, NULL);
    (void)pthread_cond_init(&c->to_caller, &monotonic);
    (void)pthread_cond_init(&c->to_workers, NULL);
    deft_status s = start_workers(c, err);
    if (s == DEFT_OK) {
        attend(c);
        for (int32_t i = 0; i < c->jobs; i++) (void)pthread_join(c->worker[i]->thread, NULL);
    }
    (void)pthread_cond_destroy(&c->to_workers);
    (void)pthread_cond_destroy(&c->to_caller);
    (void)pthread_mutex_destroy(&c->mutex);
    (void)pthread_condattr_destroy(&monotonic);
    if (s != DEFT_OK || c->error.status == DEFT_OK) return s;
    s = c->error.status;
    if (s == DEFT_E_CANCELLED)
        return deft_fail(err, s, "cancelled after %d of %d episodes", (int)c->done,
                         (int)c->episodes);
    (void)deft_fail(err, s, "%s", c->error.text);
    if (c->failed >= 0) (void)deft_error_prefix(err, "episode %d", (int)c->failed);
    return s;
}

/* --- results --------------------------------------------------------------------------------- */

static deft_stat stat_over(const deft_rollout_result *r, double *x, size_t field)
{
    for (int32_t i = 0; i < r->n_episode; i++)
        memcpy(&x[i], (const char *)&r->episode[i] + field, sizeof *x);
    return deft_stat_of(x, r->n_episode);
}

static deft_status collect(const crew *c, deft_rollout_result *out, deft_error *err)
{
    const size_t n = (size_t)c->episodes;
    double *x = calloc(n, sizeof *x);
    out->episode = calloc(n, sizeof *out->episode);
    if (!x || !out->episode) {
        free(x);
        return deft_fail(err, DEFT_E_SPACE, "no memory for the episodes");
    }
    for (int32_t k = 0; k < counting(c); k++) {
        if (!c->slot[k].finished) continue;
        out->episode[out->n_episode++] = c->slot[k].result.episode;
        out->steps += c->slot[k].result.episode.steps;
    }
    for (int32_t i = 0; i < c->jobs; i++) out->physics_seconds += c->worker[i]->physics_seconds;
    out->reward = stat_over(out, x, offsetof(deft_episode, reward));
    out->distance_cm = stat_over(out, x, offsetof(deft_episode, distance_cm));
    out->heading_error_rad = stat_over(out, x, offsetof(deft_episode, heading_error_rad));
    out->torque = stat_over(out, x, offsetof(deft_episode, torque));
    out->current_a = stat_over(out, x, offsetof(deft_episode, current_a));
    free(x);
    return DEFT_OK;
}

static deft_status open_log(crew *c, const deft_env *env, deft_error *err)
{
    const deft_env_spec *spec = deft_env_get_spec(env);
    if (!c->cfg->log) return DEFT_OK;
    c->shape.n_channel = deft_env_channels(env, &c->shape.channel, NULL);
    c->shape.n_act = spec->n_act;
    c->shape.period_ms = spec->period_s * 1000;
    return log_open(c->cfg->log, &c->shape, &c->log, err);
}

static void clean_up(crew *c)
{
    for (int32_t i = 0; i < c->jobs; i++) destroy_worker(c->worker[i]);
    for (int32_t k = 0; c->slot && k < c->episodes; k++) free(c->slot[k].result.log.row);
    free(c->slot);
    log_close(c->log);
    free(c);
}

/* Everything that can fail before the first step, the log last: it is only touched if all fits. */
static deft_status set_up(crew *c, const deft_controller *controller, const deft_env *env,
                          deft_error *err)
{
    c->slot = calloc((size_t)c->episodes, sizeof *c->slot);
    if (!c->slot) return deft_fail(err, DEFT_E_SPACE, "no memory for %d episodes", c->episodes);
    deft_status s = DEFT_OK;
    for (int32_t i = 0; s == DEFT_OK && i < c->jobs; i++)
        s = create_worker(c, controller, env, &c->worker[i], err);
    if (s == DEFT_OK) s = open_log(c, env, err);
    for (int32_t i = 0; s == DEFT_OK && c->log && i < c->jobs; i++)
        c->worker[i]->run.log = &c->shape;
    return s;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

deft_status deft_rollout_run(const deft_controller *c, const deft_env *env,
                             const deft_rollout_config *cfg, deft_rollout_result *out,
                             deft_error *err)
{
    memset(out, 0, sizeof *out);
    if (cfg->episodes < 0 || cfg->jobs < 0)
        return deft_fail(err, DEFT_E_ARG, "%d episodes on %d threads", (int)cfg->episodes,
                         (int)cfg->jobs);
    crew *w = calloc(1, sizeof *w);
    if (!w) return deft_fail(err, DEFT_E_SPACE, "no memory for the threads");
    w->cfg = cfg;
    w->episodes = cfg->episodes ? cfg->episodes : DEFAULT_EPISODES;
    w->jobs = count_jobs(cfg, w->episodes);
    w->ahead = 4 * w->jobs;
    w->failed = INT32_MAX;
    atomic_init(&w->next, 0);
    atomic_init(&w->last_wanted, INT_MAX);
    deft_status s = set_up(w, c, env, err);
    if (s == DEFT_OK) {
        const double start = now();
        s = run_crew(w, err);
        out->wall_seconds = now() - start;
        deft_error why = {0};
        const deft_status collected = collect(w, out, &why);
        if (s == DEFT_OK && collected != DEFT_OK) s = deft_fail(err, collected, "%s", why.text);
    }
    clean_up(w);
    return s;
}

void deft_rollout_free(deft_rollout_result *r)
{
    if (!r) return;
    free(r->episode);
    memset(r, 0, sizeof *r);
}
