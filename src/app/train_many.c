/* train_many.c - processes that take runs by leases until none is left. */
#include "deft/train_many.h"
#include "app/lease.h"
#include "deft/app.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static const double default_lease = 60, look_every = 0.5; // seconds

/* What one process knows. */
typedef struct worker {
    const deft_train_many_options *opt;
    const deft_train_job *job;
    int32_t n;
    char **dir;         // [n]
    lease_watch *watch; // [n]
    bool *failed;       // [n] here; others may still try
    deft_status first;  // of the failures
    deft_error *err;
    bool forked;
    double looked;
    lease *lease;  // of the run that goes on
    double reward; // of its last evaluation, NAN: none in this process
} worker;

static deft_status no_memory(deft_error *err)
{
    (void)deft_fail(err, DEFT_E_SPACE, "no memory for runs");
    return DEFT_E_SPACE;
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pause_for(double s)
{
    const struct timespec t = {.tv_nsec = (long)(1e9 * s)};
    (void)nanosleep(&t, NULL);
}

static bool cancelled(const worker *w)
{
    return w->opt->cancelled && w->opt->cancelled(w->opt->user);
}

static bool finished(const char *dir)
{
    return deft_folder_has(dir, "result.json");
}

/* --- progress -------------------------------------------------------------------------------- */

static void look(worker *w)
{
    const double t = seconds();
    if (w->forked || !w->opt->progress || t - w->looked < look_every) return;
    w->looked = t;
    deft_train_many_state s = {.n = w->n, .least = (double)NAN, .most = (double)NAN};
    for (int32_t i = 0; i < w->n; i++) {
        const int64_t steps = w->job[i].setup.train.steps;
        lease_info info;
        s.steps += steps;
        if (finished(w->dir[i])) {
            s.finished++;
            s.step += steps;
        } else if (lease_read(w->dir[i], &info)) {
            s.running++;
            s.step += info.step > 0 && info.step < steps ? info.step : 0;
            s.least = fmin(s.least, info.reward); // NAN where neither is known
            s.most = fmax(s.most, info.reward);
        }
    }
    w->opt->progress(w->opt->user, &s);
}

static int on_round(void *user, const deft_train_report *r, const deft_train_setup *s)
{
    worker *const w = user;
    if (r->evaluated) w->reward = r->eval_reward;
    lease_tell(w->lease, r->step, s->train.steps, w->reward);
    look(w);
    return cancelled(w);
}

static deft_status on_save(void *user, deft_error *err)
{
    const worker *const w = user;
    return lease_check(w->lease, err);
}

static void on_notice(void *user, const char *dir, const char *text)
{
    const worker *const w = user;
    w->opt->notice(w->opt->user, dir, text);
}

/* --- one run --------------------------------------------------------------------------------- */

static deft_status train_one(worker *w, int32_t i, deft_error *err)
{
    deft_env *env = NULL;
    deft_status s = deft_train_setup_env(&w->job[i].setup, &env, err);
    w->reward = (double)NAN;
    const bool resume = deft_folder_has(w->dir[i], "config.json");
    const deft_train_run_options opt = {.dir = w->dir[i],
                                        .resume = resume,
                                        .checkpoint_seconds = w->opt->checkpoint_seconds,
                                        .start = resume ? NULL : w->opt->start,
                                        .progress = on_round,
                                        .guard = on_save,
                                        .notice = w->opt->notice ? on_notice : NULL,
                                        .user = w};
    if (s == DEFT_OK) s = deft_train_run(&w->job[i].setup, env, &opt, err);
    deft_env_destroy(env);
    return s;
}

/* Whether there was something to do; failures are kept in the worker. */
static bool try_job(worker *w, int32_t i)
{
    const double limit = w->opt->lease_seconds > 0 ? w->opt->lease_seconds : default_lease;
    deft_error err = {DEFT_OK, ""};
    const int32_t taken = lease_take(w->dir[i], limit, &w->watch[i], &w->lease, &err);
    if (taken > 0) return false;
    deft_status s = taken < 0 ? (deft_status)taken : DEFT_OK;
    // perhaps somebody finished it just before
    if (s == DEFT_OK && !finished(w->dir[i])) s = train_one(w, i, &err);
    lease_release(w->lease);
    w->lease = NULL;
    if (s == DEFT_OK || s == DEFT_E_CANCELLED)
        return true; // cancelled: by the caller, or overtaken
    w->failed[i] = true;
    if (w->first == DEFT_OK) {
        w->first = s;
        char name[128];
        if (w->err) *w->err = err;
        (void)deft_error_prefix(w->err, "%s",
                                deft_escape(name, sizeof name, w->job[i].name, PATH_MAX));
    }
    return true;
}

static deft_status work(worker *w)
{
    while (!cancelled(w)) {
        int32_t left = 0;
        bool did = false;
        for (int32_t i = 0; i < w->n && !cancelled(w); i++) {
            if (w->failed[i] || finished(w->dir[i])) continue;
            left++;
            did |= try_job(w, i);
        }
        look(w);
        if (left == 0) return w->first;
        if (!did && !cancelled(w)) pause_for(look_every); // others are at it
    }
    return deft_fail(w->err, DEFT_E_CANCELLED, "stopped");
}

/* --- several processes ----------------------------------------------------------------------- */

typedef struct child {
    pid_t pid; // 0: ended
    int pipe;  // its error comes through
} child;

/* Never returns: exits with 0 for good; else its error is in the pipe. */
static void run_child(worker *w, int out, pid_t parent)
{
#ifdef __linux__
    // where the parent is lost, stop after a checkpoint rather than train on unseen
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent) _exit(1);
#else
    (void)parent;
#endif
    deft_error err = {DEFT_OK, ""};
    w->forked = true;
    w->err = &err;
    const deft_status s = work(w);
    err.status = s;
    const ssize_t n = s == DEFT_OK ? 0 : write(out, &err, sizeof err);
    _exit(s == DEFT_OK || n < 0 ? 0 : 1);
}

static deft_status fork_child(worker *w, child *c, deft_error *err)
{
    int ends[2];
    if (pipe(ends) != 0) return deft_fail(err, DEFT_E_IO, "no pipe: %s", strerror(errno));
    const pid_t self = getpid();
    c->pid = fork();
    if (c->pid == 0) {
        (void)close(ends[0]);
        run_child(w, ends[1], self);
    }
    (void)close(ends[1]);
    c->pipe = ends[0];
    if (c->pid > 0) return DEFT_OK;
    c->pid = 0;
    (void)close(ends[0]);
    return deft_fail(err, DEFT_E_IO, "no process: %s", strerror(errno));
}

/* The first failure of a child that ended; a killed one's run is taken over by the others. */
static void reap(worker *w, child *c, int status)
{
    deft_error err = {DEFT_OK, ""};
    const ssize_t n = read(c->pipe, &err, sizeof err);
    c->pid = 0;
    (void)close(c->pipe);
    if (WIFSIGNALED(status) && w->first == DEFT_OK) {
        w->first = deft_fail(w->err, DEFT_E_IO, "a training process was killed by signal %d",
                             WTERMSIG(status));
    }
    if (n != sizeof err || err.status == DEFT_E_CANCELLED || err.status == DEFT_OK) return;
    err.text[sizeof err.text - 1] = '\0';
    if (w->first == DEFT_OK || WIFSIGNALED(status)) {
        w->first = err.status;
        if (w->err) *w->err = err;
    }
}

static deft_status wait_for(worker *w, child *c, int32_t n)
{
    bool told = false;
    for (int32_t alive = n; alive > 0;) {
        const bool tell = !told && cancelled(w);
        alive = 0;
        for (int32_t i = 0; i < n; i++) {
            int status;
            if (c[i].pid == 0) continue;
            if (waitpid(c[i].pid, &status, WNOHANG) == c[i].pid) {
                reap(w, &c[i], status);
                continue;
            }
            alive++;
            // Ctrl-C reaches all of a terminal's processes; kill and schedulers only this one
            if (tell) (void)kill(c[i].pid, SIGTERM);
        }
        told = told || tell;
        look(w);
        if (alive) pause_for(0.05);
    }
    if (told) return deft_fail(w->err, DEFT_E_CANCELLED, "stopped");
    bool all = true;
    for (int32_t i = 0; i < w->n; i++) all = all && finished(w->dir[i]);
    return all ? DEFT_OK : w->first; // a loss that was made up for is none
}

static deft_status fork_all(worker *w, int32_t jobs)
{
    child *const c = calloc((size_t)jobs, sizeof *c);
    if (!c) return no_memory(w->err);
    deft_status s = DEFT_OK;
    int32_t n = 0;
    while (s == DEFT_OK && n < jobs) {
        s = fork_child(w, &c[n], w->err);
        n += s == DEFT_OK;
    }
    if (n > 0) s = wait_for(w, c, n); // fewer processes do it, too
    free(c);
    return s;
}

/* --- before ---------------------------------------------------------------------------------- */

/* Runs that are there must be those that are wanted. */
static deft_status check_run(const worker *w, int32_t i, deft_error *err)
{
    char path[PATH_MAX], name[256];
    if (!deft_folder_has(w->dir[i], "config.json")) return DEFT_OK;
    const int n = snprintf(path, sizeof path, "%s/config.json", w->dir[i]);
    if (n < 0 || (size_t)n >= sizeof path)
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    deft_arena *const a = deft_arena_create(0);
    deft_bytes json = {NULL, 0};
    deft_train_setup there = {.env = NULL};
    deft_status s = a ? deft_file_read(path, 1 << 20, a, &json, err) : no_memory(err);
    if (s == DEFT_OK) s = deft_train_setup_read(json, path, a, &there, err);
    const char *const field =
        s == DEFT_OK ? deft_train_setup_difference(&there, &w->job[i].setup) : NULL;
    if (field) {
        s = deft_fail(err, DEFT_E_MISMATCH, "%s: a run with other settings is there ('%s' differs)",
                      deft_escape(name, sizeof name, w->dir[i], PATH_MAX), field);
    }
    deft_arena_destroy(a);
    return s;
}

/* What the summary would write over is the one of before, or refused. */
static deft_status check_folder(const char *dir, deft_arena *a, deft_error *err)
{
    static const struct {
        const char *name;
        deft_product product;
    } file[] = {{"summary.json", DEFT_PRODUCT_SUMMARY}, {"report.html", DEFT_PRODUCT_PAGE}};
    char shown[256];
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        const char *const path = deft_arena_printf(a, "%s/%s", dir, file[i].name);
        if (!path) return no_memory(err);
        if (!deft_folder_has(dir, file[i].name) ||
            deft_product_origin(path, file[i].product) == DEFT_ORIGIN_OWN) {
            continue;
        }
        return deft_fail(err, DEFT_E_ARG,
                         "%s: exists, and Deft did not write it: give another folder",
                         deft_escape(shown, sizeof shown, path, PATH_MAX));
    }
    return DEFT_OK;
}

static deft_status prepare(worker *w, deft_arena *a, deft_error *err)
{
    w->dir = DEFT_NEW_ARRAY(a, char *, w->n);
    w->watch = DEFT_NEW_ARRAY(a, lease_watch, w->n);
    w->failed = DEFT_NEW_ARRAY(a, bool, w->n);
    if (!w->dir || !w->watch || !w->failed) return no_memory(err);
    if (deft_folder_has(w->opt->dir, "config.json")) {
        char name[256];
        return deft_fail(err, DEFT_E_ARG, "%s holds a single run",
                         deft_escape(name, sizeof name, w->opt->dir, PATH_MAX));
    }
    deft_status s = check_folder(w->opt->dir, a, err);
    for (int32_t i = 0; s == DEFT_OK && i < w->n; i++) { // before there are folders
        s = deft_train_check(&w->job[i].setup.train, err);
    }
    if (s == DEFT_OK) s = deft_folder_make(w->opt->dir, err);
    for (int32_t i = 0; s == DEFT_OK && i < w->n; i++) {
        w->dir[i] = deft_arena_printf(a, "%s/%s", w->opt->dir, w->job[i].name);
        s = w->dir[i] ? deft_folder_make(w->dir[i], err) : no_memory(err);
        if (s == DEFT_OK) s = check_run(w, i, err);
    }
    return s;
}

deft_status deft_train_many(const deft_train_job *job, int32_t n,
                            const deft_train_many_options *opt, deft_error *err)
{
    deft_error own = {DEFT_OK, ""};
    worker w = {.opt = opt, .job = job, .n = n, .err = err ? err : &own};
    deft_arena *const a = deft_arena_create(0);
    deft_status s = a ? prepare(&w, a, w.err) : no_memory(w.err);
    if (s == DEFT_OK) s = opt->jobs > 1 ? fork_all(&w, opt->jobs < n ? opt->jobs : n) : work(&w);
    deft_arena_destroy(a);
    return s;
}

deft_status deft_train_setup_env(const deft_train_setup *s, deft_env **out, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    const char *scene = NULL;
    deft_domain domain = {0};
    *out = NULL;
    deft_status status = a ? deft_scene_find(s->env, s->scene, a, &scene, err) : no_memory(err);
    if (status == DEFT_OK && s->vary) status = deft_domain_parse(s->vary, &domain, err);
    const bool paper = s->reward && strcmp(s->reward, "paper") == 0;
    if (status == DEFT_OK && s->reward && !paper && strcmp(s->reward, "evaluation") != 0) {
        status = deft_fail(err, DEFT_E_ARG, "reward: evaluation or paper");
    }
    const deft_env_config cfg = {
        .scene = scene,
        .reward = paper ? DEFT_REWARD_PAPER : DEFT_REWARD_EVALUATION,
        .wire_reward = s->wire_reward,
        .target_cm = s->target_speed,
        .heading_rad = s->heading,
        .max_steps = s->max_steps,
        .domain = domain,
    };
    if (status == DEFT_OK) status = deft_env_create(s->env, &cfg, out, err);
    deft_arena_destroy(a);
    return status;
}
