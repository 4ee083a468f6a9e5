/* train_run.c - a training run in its folder. */
#include "deft/train_run.h"
#include "app/train_log.h"
#include "app/train_report.h"
#include "base/crc32.h"
#include "deft/emit.h"
#include "deft/formats.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PROGRESS_STEPS = 1000, HEADER = 64 };
static const char magic[8] = "DEFTRUN2";

typedef struct run {
    const deft_train_run_options *opt;
    const deft_train_setup *setup;
    deft_trainer *trainer;
    deft_arena *arena; // of paths
    char *config, *checkpoint, *replay;
    deft_bytes json;
    uint32_t setup_crc;
    int64_t rows_saved, next_line;
    train_log *log;
    double saved_at, started_at, seconds_before; // before: in earlier sessions
    int64_t line_step;                           // of the last line of this session
    double line_at;
    double return_sum; // since the last line
    int64_t return_count;
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

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Whether the run is still this process's own. */
static deft_status may_write(const run *r, deft_error *err)
{
    return r->opt->guard ? r->opt->guard(r->opt->user, err) : DEFT_OK;
}

/* --- experience: rows appended to replay.bin -------------------------------------------------- */

static deft_status write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        const ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return DEFT_E_IO;
        p += k;
        n -= (size_t)k;
    }
    return DEFT_OK;
}

/* Rows since the last checkpoint, behind those of it; what a killed run left beyond is overwritten.
 */
static deft_status save_rows(run *r, deft_error *err)
{
    const size_t size = deft_trainer_row_size(r->trainer);
    const int64_t rows = deft_trainer_rows(r->trainer), count = rows - r->rows_saved;
    char *const bytes = malloc((size_t)count * size + 1);
    const int fd = open(r->replay, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    deft_status s = DEFT_OK;
    if (!bytes) {
        s = deft_fail(err, DEFT_E_SPACE, "no memory for a checkpoint");
    } else if (fd < 0) {
        s = io_fail(r->replay, "write", err);
    } else {
        deft_trainer_rows_save(r->trainer, r->rows_saved, count, bytes);
        if (lseek(fd, (off_t)((size_t)r->rows_saved * size), SEEK_SET) < 0 ||
            write_all(fd, bytes, (size_t)count * size) != DEFT_OK || fsync(fd) != 0) {
            s = io_fail(r->replay, "write", err);
        }
    }
    if (fd >= 0 && close(fd) != 0 && s == DEFT_OK) s = io_fail(r->replay, "write", err);
    free(bytes);
    return s;
}

static deft_status load_rows(const run *r, int64_t rows, int64_t count, char *to, deft_error *err)
{
    const size_t size = deft_trainer_row_size(r->trainer);
    FILE *const f = fopen(r->replay, "rb");
    if (!f) return io_fail(r->replay, "read", err);
    const bool ok = fseeko(f, (off_t)((size_t)(rows - count) * size), SEEK_SET) == 0 &&
                    fread(to, size, (size_t)count, f) == (size_t)count;
    (void)fclose(f);
    return ok ? DEFT_OK
              : deft_fail(err, DEFT_E_FORMAT, "%s: shorter than the checkpoint says", r->replay);
}

/* --- checkpoint.bin -------------------------------------------------------------------------- */

/* Its first bytes, in the order of this machine: a run does not move to another kind of one. */
enum {
    AT_SETUP = 8, // u32, CRC of the setup
    AT_CRC = 12,  // u32, of all behind the header
    AT_ROWS = 16, // i64, ever appended
    AT_NEXT_LINE = 24,
    AT_STATE = 32,  // u64, bytes of the trainer's state, which follows the header
    AT_RETURN = 40, // f64 and i64: what the next line of progress holds so far
    AT_COUNT = 48,
    AT_SECONDS = 56, // f32, trained so far
    AT_INSIDE = 60,  // u32, 1: the rows follow the state, none are in replay.bin
};

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
    const char *const path = deft_arena_printf(r->arena, "%s/%s", r->opt->dir, onnx);
    if (s == DEFT_OK && !path) s = deft_fail(err, DEFT_E_SPACE, "no memory for a path");
    if (s == DEFT_OK) s = deft_file_write(path, bytes.data, bytes.size, err);
    if (s == DEFT_OK && image) s = deft_image_write(m, a, &bytes, err);
    if (s == DEFT_OK && image) {
        s = deft_file_write(deft_arena_printf(r->arena, "%s/%s", r->opt->dir, image), bytes.data,
                            bytes.size, err);
    }
    deft_arena_destroy(a);
    return s;
}

/* What follows the warm-up may change rows of it (normalisation, an encoder that was trained), and
 * replay.bin must fit the checkpoint at every moment: until then, and for a round more, rows are
 * inside the checkpoint. */
static bool rows_inside(const run *r)
{
    const deft_train_config *const c = &r->setup->train;
    return deft_trainer_step(r->trainer) <= c->warmup + 2 * (int64_t)c->envs * c->round;
}

static int64_t kept_rows(const run *r, int64_t rows)
{
    const int64_t most = deft_trainer_capacity(r->trainer);
    return rows < most ? rows : most;
}

/* The whole file, to be freed by the caller; NULL: no memory. */
static uint8_t *make_checkpoint(const run *r, bool inside, size_t *size)
{
    const int64_t rows = deft_trainer_rows(r->trainer), kept = inside ? kept_rows(r, rows) : 0;
    const uint64_t n = deft_trainer_state_size(r->trainer);
    const size_t row_bytes = (size_t)kept * deft_trainer_row_size(r->trainer);
    *size = HEADER + (size_t)n + row_bytes;
    uint8_t *const b = calloc(1, *size);
    if (!b) return NULL;
    deft_trainer_state_save(r->trainer, b + HEADER);
    if (inside) deft_trainer_rows_save(r->trainer, rows - kept, kept, b + HEADER + n);
    const uint32_t crc = deft_crc32(0, b + HEADER, (size_t)n + row_bytes), flag = inside;
    const float seconds = (float)(r->seconds_before + now() - r->started_at);
    memcpy(b, magic, sizeof magic);
    memcpy(b + AT_SETUP, &r->setup_crc, sizeof r->setup_crc);
    memcpy(b + AT_CRC, &crc, sizeof crc);
    memcpy(b + AT_ROWS, &rows, sizeof rows);
    memcpy(b + AT_NEXT_LINE, &r->next_line, sizeof r->next_line);
    memcpy(b + AT_STATE, &n, sizeof n);
    memcpy(b + AT_RETURN, &r->return_sum, sizeof r->return_sum);
    memcpy(b + AT_COUNT, &r->return_count, sizeof r->return_count);
    memcpy(b + AT_SECONDS, &seconds, sizeof seconds);
    memcpy(b + AT_INSIDE, &flag, sizeof flag);
    return b;
}

static deft_status save_checkpoint(run *r, deft_error *err)
{
    const bool inside = rows_inside(r);
    deft_status s = may_write(r, err);
    if (s == DEFT_OK && r->log) s = train_log_sync(r->log, err);
    if (s == DEFT_OK && !inside) s = save_rows(r, err);
    if (s == DEFT_OK) s = save_policy(r, true, "policy.onnx", "policy.deft", err);
    if (s != DEFT_OK) return s;
    size_t size;
    uint8_t *const bytes = make_checkpoint(r, inside, &size);
    s = bytes ? deft_file_write(r->checkpoint, bytes, size, err)
              : deft_fail(err, DEFT_E_SPACE, "no memory for a checkpoint");
    if (s == DEFT_OK && !inside) r->rows_saved = deft_trainer_rows(r->trainer);
    free(bytes);
    r->saved_at = now();
    return s;
}

/* Takes the header's numbers over and checks the rest against them. *rows behind the state, or NULL
 * where they are in replay.bin. */
static deft_status read_checkpoint(run *r, deft_bytes b, size_t *n_state, const uint8_t **rows,
                                   int64_t *n_row, deft_error *err)
{
    uint64_t n;
    uint32_t setup, crc, inside;
    float seconds;
    if (!b.data || b.size < HEADER || memcmp(b.data, magic, sizeof magic) != 0) {
        const bool old = b.data && b.size >= HEADER && memcmp(b.data, magic, 7) == 0;
        return deft_fail(err, DEFT_E_FORMAT, "%s: not a checkpoint%s", r->checkpoint,
                         old ? " of this version of deft, but of another one" : "");
    }
    memcpy(&setup, b.data + AT_SETUP, sizeof setup);
    memcpy(&crc, b.data + AT_CRC, sizeof crc);
    memcpy(n_row, b.data + AT_ROWS, sizeof *n_row);
    memcpy(&r->next_line, b.data + AT_NEXT_LINE, sizeof r->next_line);
    memcpy(&n, b.data + AT_STATE, sizeof n);
    memcpy(&r->return_sum, b.data + AT_RETURN, sizeof r->return_sum);
    memcpy(&r->return_count, b.data + AT_COUNT, sizeof r->return_count);
    memcpy(&seconds, b.data + AT_SECONDS, sizeof seconds);
    memcpy(&inside, b.data + AT_INSIDE, sizeof inside);
    if (setup != r->setup_crc) {
        return deft_fail(err, DEFT_E_MISMATCH,
                         "%s: made with another config.json, or by another "
                         "version of deft",
                         r->checkpoint);
    }
    const size_t rest = b.size - HEADER;
    const size_t row_bytes = *n_row < 0 || !inside
                                 ? 0
                                 : (size_t)kept_rows(r, *n_row) * deft_trainer_row_size(r->trainer);
    if (*n_row < 0 || inside > 1 || n > rest || rest - n != row_bytes ||
        crc != deft_crc32(0, b.data + HEADER, rest)) {
        return deft_fail(err, DEFT_E_FORMAT, "%s: damaged", r->checkpoint);
    }
    r->seconds_before = seconds >= 0 && isfinite(seconds) ? (double)seconds : 0;
    *n_state = (size_t)n;
    *rows = inside ? b.data + HEADER + n : NULL;
    return DEFT_OK;
}

static deft_status load_checkpoint(run *r, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    deft_bytes b = {NULL, 0};
    deft_status s = a ? deft_file_read(r->checkpoint, (size_t)1 << 34, a, &b, err)
                      : deft_fail(err, DEFT_E_SPACE, "no memory to resume");
    size_t n = 0;
    const uint8_t *inside = NULL;
    int64_t rows = 0;
    if (s == DEFT_OK) s = read_checkpoint(r, b, &n, &inside, &rows, err);
    char *read = NULL;
    if (s == DEFT_OK && !inside) {
        read = malloc((size_t)kept_rows(r, rows) * deft_trainer_row_size(r->trainer) + 1);
        s = read ? load_rows(r, rows, kept_rows(r, rows), read, err)
                 : deft_fail(err, DEFT_E_SPACE, "no memory to resume");
    }
    if (s == DEFT_OK) {
        s = deft_trainer_state_load(r->trainer, b.data + HEADER, n,
                                    inside ? (const void *)inside : read, kept_rows(r, rows), err);
    }
    if (s == DEFT_OK && !inside) r->rows_saved = rows;
    free(read);
    deft_arena_destroy(a);
    return s;
}

/* --- progress ------------------------------------------------------------------------------- */

static deft_status note(run *r, const deft_train_report *x, deft_error *err)
{
    for (int32_t i = 0; i < x->n_episode; i++) r->return_sum += x->episode[i].reward;
    r->return_count += x->n_episode;
    if (x->step < r->next_line && !x->evaluated) return DEFT_OK;
    while (r->next_line <= x->step) r->next_line += PROGRESS_STEPS;
    const deft_status mine = may_write(r, err);
    if (mine != DEFT_OK) return mine;
    const double t = now();
    const train_row row = {
        .step = x->step,
        .update = x->update,
        .episodes = r->return_count,
        .mean_return = r->return_count ? r->return_sum / (double)r->return_count : (double)NAN,
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
    r->return_sum = 0;
    r->return_count = 0;
    r->line_step = x->step;
    r->line_at = t;
    return train_log_write(r->log, &row, err);
}

/* --- the run --------------------------------------------------------------------------------- */

/* The text of config.json, and the checksum of all of it that decides the result. */
static deft_status describe(run *r, deft_error *err)
{
    deft_status s = deft_train_setup_write(r->setup, r->arena, &r->json, err);
    // Threads do not change the result, so a run may go on with another number of them.
    deft_train_setup plain = *r->setup;
    plain.train.threads = 0;
    deft_bytes counted;
    if (s == DEFT_OK) s = deft_train_setup_write(&plain, r->arena, &counted, err);
    if (s == DEFT_OK) r->setup_crc = deft_crc32(0, counted.data, counted.size);
    return s;
}

/* config.json comes last: where it is, all that a resumed run needs is there. */
static deft_status begin(run *r, deft_error *err)
{
    deft_status s = DEFT_OK;
    if (r->opt->start) {
        s = deft_trainer_load_model(r->trainer, r->opt->start, err);
        if (s == DEFT_OK) s = save_checkpoint(r, err);
    } else if (unlink(r->checkpoint) != 0 && errno != ENOENT) {
        s = io_fail(r->checkpoint, "remove", err);
    }
    return s == DEFT_OK ? deft_file_write(r->config, r->json.data, r->json.size, err) : s;
}

/* What a kill left of files that were being written: NAME.XXXXXX. */
static void remove_leftovers(const run *r)
{
    static const char *const name[] = {"checkpoint.bin",   "policy.onnx", "policy.deft",
                                       "policy-int8.deft", "last.onnx",   "progress.csv",
                                       "config.json",      "result.json", "report.html"};
    DIR *const d = opendir(r->opt->dir);
    if (!d) return;
    for (const struct dirent *e; (e = readdir(d));) {
        for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
            const size_t n = strlen(name[i]);
            if (strncmp(e->d_name, name[i], n) != 0 || e->d_name[n] != '.' ||
                strlen(e->d_name) != n + 7) {
                continue;
            }
            (void)unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    (void)closedir(d);
}

static deft_status prepare(run *r, const deft_env *env, deft_error *err)
{
    deft_status s = describe(r, err);
    if (s != DEFT_OK) return s;
    if (!r->opt->resume && exists(r->config)) {
        return deft_fail(err, DEFT_E_ARG, "%s already holds a run; --resume goes on with it",
                         r->opt->dir);
    }
    s = deft_folder_make(r->opt->dir, err);
    if (s != DEFT_OK) return s;
    remove_leftovers(r);
    s = deft_trainer_create(&r->setup->train, env, &r->trainer, err);
    if (s == DEFT_OK && !r->opt->resume) {
        s = begin(r, err);
    } else if (s == DEFT_OK && exists(r->checkpoint)) {
        s = load_checkpoint(r, err);
    } else if (s == DEFT_OK && r->setup->load) {
        s = deft_fail(err, DEFT_E_FORMAT,
                      "%s: the checkpoint is missing that holds the policy it "
                      "started from",
                      r->opt->dir);
    }
    r->line_step = s == DEFT_OK ? deft_trainer_step(r->trainer) : 0;
    return s == DEFT_OK ? train_log_open(r->opt->dir, r->json, r->line_step, &r->log, err) : s;
}

static deft_status train(run *r, deft_error *err)
{
    const double every = r->opt->checkpoint_seconds > 0 ? r->opt->checkpoint_seconds : 120;
    r->saved_at = r->line_at = r->started_at = now();
    int32_t s = deft_trainer_step(r->trainer) >= r->setup->train.steps ? 1 : 0;
    while (s == 0) {
        deft_train_report x;
        s = deft_trainer_round(r->trainer, &x, err);
        if (s < 0) return (deft_status)s;
        const deft_status noted = note(r, &x, err);
        if (noted != DEFT_OK) return noted;
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
    if (s == DEFT_OK) s = train_curve_read(r->opt->dir, &r->setup->train, r->arena, &c, err);
    if (s == DEFT_OK) {
        s = train_report_run(&(train_report){r->opt->dir, r->setup, &c, &f, seconds}, err);
    }
    return s == DEFT_OK ? train_result_write(r->opt->dir, &c, seconds, &f, err) : s;
}

deft_status deft_train_run(const deft_train_setup *s, const deft_env *env,
                           const deft_train_run_options *opt, deft_error *err)
{
    run r = {.opt = opt, .setup = s, .arena = deft_arena_create(0), .next_line = PROGRESS_STEPS};
    if (!r.arena) return deft_fail(err, DEFT_E_SPACE, "no memory for a run");
    r.started_at = now();
    r.config = deft_arena_printf(r.arena, "%s/config.json", opt->dir);
    r.checkpoint = deft_arena_printf(r.arena, "%s/checkpoint.bin", opt->dir);
    r.replay = deft_arena_printf(r.arena, "%s/replay.bin", opt->dir);
    deft_status status = r.config && r.checkpoint && r.replay
                             ? prepare(&r, env, err)
                             : deft_fail(err, DEFT_E_SPACE, "no memory for a run");
    if (status == DEFT_OK) status = train(&r, err);
    const deft_status closed = train_log_close(r.log, status == DEFT_OK ? err : NULL);
    if (status == DEFT_OK) status = closed;
    if (status == DEFT_OK) status = finish(&r, env, err);
    deft_trainer_destroy(r.trainer);
    deft_arena_destroy(r.arena);
    return status;
}
