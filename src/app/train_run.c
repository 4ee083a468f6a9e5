/* train_run.c - a training run in its folder. */
#include "deft/train_run.h"
#include "app/lease.h"
#include "app/train_checkpoint.h"
#include "app/train_log.h"
#include "app/train_report.h"
#include "base/crc32.h"
#include "deft/emit.h"
#include "deft/formats.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PROGRESS_STEPS = 1000, LEASE_SECONDS = 60 };

typedef struct run {
    const deft_train_run_options *opt;
    const deft_train_setup *setup;
    deft_trainer *trainer;
    deft_arena *arena; // of paths
    char *config;
    deft_bytes json;
    train_checkpoint at;
    train_log *log;
    double saved_at, started_at, seconds_before; // before: in earlier sessions
    int64_t line_step;                           // of the last line of this session
    double line_at;
    int lock;     // the folder, -1: not held
    lease *lease; // of a run of many that goes on by itself, or NULL
} run;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static deft_status io_fail(const char *path, const char *what, deft_error *err)
{
    char name[256];
    return deft_fail(err, DEFT_E_IO, "%s: cannot %s: %s",
                     deft_escape(name, sizeof name, path, 4096), what, strerror(errno));
}

/* Whether the run is still this process's own. */
static deft_status may_write(const run *r, deft_error *err)
{
    return r->opt->guard ? r->opt->guard(r->opt->user, err) : DEFT_OK;
}

/* --- policies and checkpoints ------------------------------------------------------------------
 */

static deft_status write_below(const run *r, const char *name, deft_bytes b, deft_error *err)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/%s", r->opt->dir, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    return deft_file_write(path, b.data, b.size, err);
}

static deft_status save_policy(const run *r, bool best, const char *onnx, const char *image,
                               deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    deft_model *m = NULL;
    deft_bytes bytes = {NULL, 0};
    deft_status s = a ? deft_trainer_model(r->trainer, best, a, &m, err)
                      : deft_fail(err, DEFT_E_SPACE, "no memory for the policy");
    if (s == DEFT_OK && m) {
        m->source = "deft train";
        // Names and units of an environment that has a contract of its own.
        const char *const known =
            strcmp(r->setup->env, "quaid") == 0 ? "quaid-normalised" : r->setup->env;
        deft_error ignored = {DEFT_OK, ""};
        if (!m->contract.obs_scale) (void)deft_model_set_contract(m, known, &ignored);
        s = deft_onnx_write(m, a, &bytes, err);
    }
    if (s == DEFT_OK) s = write_below(r, onnx, bytes, err);
    if (s == DEFT_OK && image) s = deft_image_write(m, a, &bytes, err);
    if (s == DEFT_OK && image) s = write_below(r, image, bytes, err);
    deft_arena_destroy(a);
    return s;
}

static deft_status save_checkpoint(run *r, deft_error *err)
{
    deft_status s = may_write(r, err);
    if (s == DEFT_OK && r->log) s = train_log_sync(r->log, err);
    if (s == DEFT_OK) {
        s = train_checkpoint_save_rows(&r->at, r->trainer, &r->setup->train, err);
    }
    if (s == DEFT_OK) s = save_policy(r, true, "policy.onnx", "policy.deft", err);
    if (s != DEFT_OK) return s;
    if (r->log) r->at.log = train_log_mark(r->log);
    r->saved_at = now();
    r->at.seconds = r->seconds_before + r->saved_at - r->started_at;
    return train_checkpoint_save(&r->at, r->trainer, &r->setup->train, err);
}

/* --- progress ------------------------------------------------------------------------------- */

static deft_status note(run *r, const deft_train_report *x, deft_error *err)
{
    for (int32_t i = 0; i < x->n_episode; i++) r->at.return_sum += x->episode[i].reward;
    r->at.return_count += x->n_episode;
    const bool last = x->step >= r->setup->train.steps;
    if (x->step < r->at.next_line && !x->evaluated && !last) return DEFT_OK;
    if (r->at.next_line <= x->step) {
        r->at.next_line += ((x->step - r->at.next_line) / PROGRESS_STEPS + 1) * PROGRESS_STEPS;
    }
    const deft_status mine = may_write(r, err);
    if (mine != DEFT_OK) return mine;
    const double t = now();
    const train_row row = {
        .step = x->step,
        .update = x->update,
        .episodes = r->at.return_count,
        .mean_return =
            r->at.return_count ? r->at.return_sum / (double)r->at.return_count : (double)NAN,
        .critic_loss = (double)x->critic_loss,
        .actor_loss = (double)x->actor_loss,
        .q = (double)x->q,
        .alpha = (double)x->alpha,
        .evaluated = x->evaluated,
        .best = x->best,
        .eval_return = x->eval_reward,
        .eval_sd = x->eval_sd,
        .eval_distance_cm = x->eval_distance_cm,
        .seconds = r->seconds_before + t - r->started_at,
        .rate = (double)(x->step - r->line_step) / (t - r->line_at + 1e-9),
    };
    r->at.return_sum = 0;
    r->at.return_count = 0;
    r->line_step = x->step;
    r->line_at = t;
    return train_log_write(r->log, &row, err);
}

/* --- the run --------------------------------------------------------------------------------- */

/* The text of config.json, and the checksum of all of it that decides the result. */
static deft_status describe(run *r, deft_error *err)
{
    deft_status s = deft_train_setup_write(r->setup, r->arena, &r->json, err);
    // Threads do not change the result, and steps only when it ends: a run may go on with others.
    deft_train_setup plain = *r->setup;
    plain.train.threads = 0;
    plain.train.steps = 0;
    deft_bytes counted;
    if (s == DEFT_OK) s = deft_train_setup_write(&plain, r->arena, &counted, err);
    if (s == DEFT_OK) r->at.setup = deft_crc32(0, counted.data, counted.size);
    return s;
}

/* config.json comes last: where it is, all that a resumed run needs is there. */
static deft_status begin(run *r, deft_error *err)
{
    deft_status s = DEFT_OK;
    if (r->opt->start) {
        s = train_checkpoint_save(&r->at, r->trainer, &r->setup->train, err);
    } else if (unlink(r->at.path) != 0 && errno != ENOENT) {
        s = io_fail(r->at.path, "remove", err);
    }
    return s == DEFT_OK ? deft_file_write(r->config, r->json.data, r->json.size, err) : s;
}

/* What runs come to. */
static const char *const output[] = {"policy.onnx", "policy.deft",  "policy-int8.deft",
                                     "last.onnx",   "result.json",  "report.html",
                                     "run.sqlite",  "progress.csv", "summary.json"};
enum { N_OUTPUT = sizeof output / sizeof *output };

/* Is this one of our files while it was being written (deft_file_write)? */
static bool is_leftover(const char *name)
{
    static const char *const own[] = {"checkpoint.bin", "config.json"};
    bool is = false;
    for (size_t i = 0; i < N_OUTPUT + sizeof own / sizeof *own; i++) {
        const char *const of = i < N_OUTPUT ? output[i] : own[i - N_OUTPUT];
        const size_t n = strlen(of);
        is = is || (strncmp(name, of, n) == 0 && deft_file_is_temporary(name + n));
    }
    return is;
}

static void remove_leftovers(const run *r)
{
    DIR *const d = opendir(r->opt->dir);
    if (!d) return;
    for (const struct dirent *e; (e = readdir(d));) {
        if (is_leftover(e->d_name)) (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    (void)closedir(d);
}

/* A new run shall not write over what is there. A checkpoint without config.json is what a kill
 * left of a run that was about to begin. */
static deft_status check_new(const run *r, deft_error *err)
{
    char dir[256];
    (void)deft_escape(dir, sizeof dir, r->opt->dir, PATH_MAX);
    if (deft_folder_has(r->opt->dir, "config.json")) {
        return deft_fail(err, DEFT_E_ARG,
                         "%s already holds a run (config.json); --resume continues it", dir);
    }
    for (size_t i = 0; i < N_OUTPUT; i++) {
        if (!deft_folder_has(r->opt->dir, output[i])) continue;
        return deft_fail(err, DEFT_E_ARG,
                         "%s holds a %s, but no run (no config.json): give another "
                         "folder",
                         dir, output[i]);
    }
    // one of ours is what a kill left; rows are written later
    const bool checkpoint =
        deft_folder_has(r->opt->dir, "checkpoint.bin") && !train_checkpoint_is_own(r->at.path);
    if (checkpoint || deft_folder_has(r->opt->dir, "replay.bin")) {
        return deft_fail(err, DEFT_E_ARG,
                         "%s holds a %s that is not of a run (no config.json): give another folder",
                         dir, checkpoint ? "checkpoint.bin" : "replay.bin");
    }
    DIR *const d = opendir(r->opt->dir);
    const struct dirent *e = NULL;
    while (d && (e = readdir(d))) {
        char below[PATH_MAX];
        const int n = snprintf(below, sizeof below, "%s/%s", r->opt->dir, e->d_name);
        const bool one = e->d_name[0] != '.' && n > 0 && (size_t)n < sizeof below &&
                         deft_folder_has(below, "config.json");
        if (one) break;
    }
    const deft_status s =
        e ? deft_fail(err, DEFT_E_ARG, "%s holds many runs: give another folder", dir) : DEFT_OK;
    if (d) (void)closedir(d);
    return s;
}

/* The kernels of another kind of CPU round otherwise: that is to be known, and no error. */
static void compare_cores(run *r)
{
    const char *const core = deft_trainer_blas_core(r->trainer);
    char old[64], text[256];
    if (strncmp(r->at.core, core, sizeof r->at.core - 1) != 0 && r->opt->notice) {
        (void)deft_escape(old, sizeof old, r->at.core, sizeof r->at.core);
        (void)snprintf(text, sizeof text,
                       "begun with OpenBLAS's kernels for %s, going on with those for %s: other "
                       "roundings from here on (OPENBLAS_CORETYPE=%s would keep them)",
                       old, core, old);
        r->opt->notice(r->opt->user, r->opt->dir, text);
    }
    (void)snprintf(r->at.core, sizeof r->at.core, "%s", core);
}

/* The checkpoint, or the beginning where there is none yet. */
static deft_status go_on(run *r, deft_error *err)
{
    if (deft_folder_has(r->opt->dir, "checkpoint.bin")) {
        const deft_status s = train_checkpoint_load(&r->at, r->trainer, err);
        if (s == DEFT_OK) compare_cores(r);
        return s;
    }
    const bool trained = deft_folder_has(r->opt->dir, "last.onnx");
    if (!trained && !r->setup->load) return DEFT_OK; // killed before the first
    char dir[256];
    return deft_fail(err, DEFT_E_FORMAT, "%s: checkpoint.bin is missing%s",
                     deft_escape(dir, sizeof dir, r->opt->dir, PATH_MAX),
                     trained ? "" : ", which holds the policy that the run started from");
}

/* A run that has an end farther away is finished no more. */
static deft_status extend(const run *r, deft_error *err)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/result.json", r->opt->dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    if (unlink(path) != 0 && errno != ENOENT) return io_fail(path, "remove", err);
    return deft_file_write(r->config, r->json.data, r->json.size, err);
}

/* Two processes in one folder would mix their files. A single run locks it (file systems that have
 * no locks have none), and asks for the lease where it is one of many; those have leases, so they
 * only look whether the lock is free. */
static deft_status lock(run *r, deft_error *err)
{
    char dir[256];
    (void)deft_escape(dir, sizeof dir, r->opt->dir, PATH_MAX);
    r->lock = open(r->opt->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock < 0) return io_fail(r->opt->dir, "open", err);
    if (flock(r->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return deft_fail(err, DEFT_E_ARG, "%s: another process trains in this folder", dir);
    }
    if (r->opt->guard) {
        (void)flock(r->lock, LOCK_UN);
        return DEFT_OK;
    }
    lease_info holder;
    if (!lease_read(r->opt->dir, &holder)) return DEFT_OK;
    lease_watch watch = {.beat = 0};
    const int32_t taken = lease_take(r->opt->dir, LEASE_SECONDS, &watch, &r->lease, err);
    if (taken <= 0) return (deft_status)taken;
    return deft_fail(err, DEFT_E_ARG,
                     "%s: process %ld on %s trains in this folder, as one of many runs (if that is "
                     "gone, remove its file lease.*)",
                     dir, holder.pid, holder.host);
}

static deft_status prepare(run *r, const deft_env *env, deft_error *err)
{
    deft_status s = describe(r, err);
    if (s == DEFT_OK && !r->opt->resume) s = check_new(r, err);
    r->at.scene = deft_env_scene_hash(env);
    // what cannot be trained leaves no folder
    if (s == DEFT_OK) s = deft_trainer_create(&r->setup->train, env, &r->trainer, err);
    if (s == DEFT_OK && !r->opt->resume && r->opt->start) {
        s = deft_trainer_load_model(r->trainer, r->opt->start, err);
    }
    if (s == DEFT_OK) s = deft_folder_make(r->opt->dir, err);
    if (s == DEFT_OK) s = lock(r, err);
    if (s == DEFT_OK && !r->opt->resume) s = check_new(r, err); // nobody was quicker
    if (s == DEFT_OK) s = may_write(r, err); // this process may have slept since it took the run
    if (s != DEFT_OK) return s;
    remove_leftovers(r);
    (void)snprintf(r->at.core, sizeof r->at.core, "%s", deft_trainer_blas_core(r->trainer));
    s = r->opt->resume ? go_on(r, err) : begin(r, err);
    if (s == DEFT_OK) s = may_write(r, err);
    if (s != DEFT_OK) return s;
    r->seconds_before = r->at.seconds;
    r->line_step = deft_trainer_step(r->trainer);
    const train_log_start log = {.dir = r->opt->dir,
                                 .setup = r->setup,
                                 .config = r->json,
                                 .step = r->line_step,
                                 .mark = r->at.log,
                                 .resume = r->opt->resume,
                                 .notice = r->opt->notice,
                                 .user = r->opt->user};
    s = train_log_open(&log, &r->log, err);
    return s == DEFT_OK && r->opt->extend ? extend(r, err) : s; // what is refused stays as it was
}

/* An encoder is pretrained in the round after the warm-up; who stops that loses nothing of it. */
static deft_status save_before_teaching(run *r, const deft_train_report *x, deft_error *err)
{
    const deft_train_config *const c = &r->setup->train;
    const bool over = x->step >= c->warmup && x->step - (int64_t)c->envs * c->round < c->warmup;
    return over && c->encoder_mode == DEFT_ENCODER_PRETRAINED ? save_checkpoint(r, err) : DEFT_OK;
}

/* While nothing else is to be told. */
static int pulse(void *user, int64_t step)
{
    const run *const r = user;
    const deft_train_report nothing = {.step = step};
    return r->opt->progress ? r->opt->progress(r->opt->user, &nothing, r->setup) : 0;
}

static deft_status train(run *r, deft_error *err)
{
    deft_trainer_on_pulse(r->trainer, pulse, r);
    const double every = r->opt->checkpoint_seconds > 0 ? r->opt->checkpoint_seconds : 120;
    r->saved_at = r->line_at = r->started_at = now();
    int32_t s = deft_trainer_step(r->trainer) >= r->setup->train.steps ? 1 : 0;
    while (s == 0) {
        deft_train_report x;
        s = deft_trainer_round(r->trainer, &x, err);
        if (s < 0) return (deft_status)s;
        const deft_status noted = note(r, &x, err);
        if (noted != DEFT_OK) return noted;
        const deft_status before = save_before_teaching(r, &x, err);
        if (before != DEFT_OK) return before;
        const bool stop = r->opt->progress && r->opt->progress(r->opt->user, &x, r->setup) != 0;
        if (!stop && s == 0 && now() - r->saved_at < every) continue;
        const deft_status saved = save_checkpoint(r, err);
        if (saved != DEFT_OK) return saved;
        if (stop && s == 0) {
            return deft_fail(err, DEFT_E_CANCELLED, "stopped after %lld steps; --resume %s goes on",
                             (long long)x.step, r->opt->dir);
        }
    }
    return save_policy(r, false, "last.onnx", NULL, err);
}

/* What is made of a trained run; the result comes last, and says that all is there. */
static deft_status finish(const run *r, const deft_env *env, deft_error *err)
{
    const double seconds = r->seconds_before + now() - r->started_at;
    train_finish f;
    train_curve c;
    deft_env *eval_env = NULL;
    deft_status s = may_write(r, err);
    if (s == DEFT_OK) s = deft_train_eval_env(&r->setup->train, env, &eval_env, err);
    if (s == DEFT_OK) s = train_finish_policies(r->opt->dir, eval_env, &f, err);
    deft_env_destroy(eval_env);
    if (s == DEFT_OK) s = train_curve_read(r->opt->dir, r->setup, r->arena, &c, err);
    if (s == DEFT_OK) {
        s = train_report_run(&(train_report){r->opt->dir, r->setup, &c, &f, seconds}, err);
    }
    return s == DEFT_OK ? train_result_write(r->opt->dir, &c, seconds, &f, err) : s;
}

deft_status deft_train_run(const deft_train_setup *s, const deft_env *env,
                           const deft_train_run_options *opt, deft_error *err)
{
    run r = {.opt = opt, .setup = s, .arena = deft_arena_create(0), .lock = -1};
    r.at.next_line = PROGRESS_STEPS;
    if (!r.arena) return deft_fail(err, DEFT_E_SPACE, "no memory for a run");
    r.started_at = now();
    r.config = deft_arena_printf(r.arena, "%s/config.json", opt->dir);
    r.at.path = deft_arena_printf(r.arena, "%s/checkpoint.bin", opt->dir);
    r.at.replay = deft_arena_printf(r.arena, "%s/replay.bin", opt->dir);
    deft_status status = r.config && r.at.path && r.at.replay
                             ? prepare(&r, env, err)
                             : deft_fail(err, DEFT_E_SPACE, "no memory for a run");
    if (status == DEFT_OK) status = train(&r, err);
    const deft_status closed = train_log_close(r.log, status == DEFT_OK ? err : NULL);
    if (status == DEFT_OK) status = closed;
    if (status == DEFT_OK) status = finish(&r, env, err);
    lease_release(r.lease);
    if (r.lock >= 0) (void)close(r.lock);
    deft_trainer_destroy(r.trainer);
    deft_arena_destroy(r.arena);
    return status;
}
