/* train_run.c - a training run in its folder. */
#include "deft/train_run.h"
#include "base/crc32.h"
#include "deft/emit.h"
#include "deft/formats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PROGRESS_STEPS = 1000, HEADER = 64 };
static const char magic[8] = "DEFTRUN1";

typedef struct run {
    const deft_train_run_options *opt;
    const deft_train_setup *setup;
    deft_trainer *trainer;
    deft_arena *arena; // of paths
    char *config, *checkpoint, *replay, *csv;
    uint32_t setup_crc;
    int64_t rows_saved, next_line;
    FILE *progress;
    double saved_at;
    double return_sum;
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

/* --- experience: rows appended to replay.bin ----------------------------------------------------
 */

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

/* --- checkpoint.bin: magic, CRCs of setup and state, rows, next line of progress.csv and what it
 * holds so far, size, state ---
 */

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
        if (!r->setup->train.normalize) (void)deft_model_set_contract(m, known, &ignored);
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

static deft_status save_checkpoint(run *r, deft_error *err)
{
    const size_t size = deft_trainer_state_size(r->trainer);
    uint8_t *const bytes = calloc(1, HEADER + size);
    if (!bytes) return deft_fail(err, DEFT_E_SPACE, "no memory for a checkpoint");
    if (r->progress) (void)fflush(r->progress);
    deft_status s = save_rows(r, err);
    if (s == DEFT_OK) s = save_policy(r, true, "policy.onnx", "policy.deft", err);
    if (s == DEFT_OK) {
        const int64_t rows = deft_trainer_rows(r->trainer);
        const uint64_t n = size;
        deft_trainer_state_save(r->trainer, bytes + HEADER);
        const uint32_t crc = deft_crc32(0, bytes + HEADER, size);
        memcpy(bytes, magic, sizeof magic);
        memcpy(bytes + 8, &r->setup_crc, sizeof r->setup_crc);
        memcpy(bytes + 12, &crc, sizeof crc);
        memcpy(bytes + 16, &rows, sizeof rows);
        memcpy(bytes + 24, &r->next_line, sizeof r->next_line);
        memcpy(bytes + 32, &n, sizeof n);
        memcpy(bytes + 40, &r->return_sum, sizeof r->return_sum);
        memcpy(bytes + 48, &r->return_count, sizeof r->return_count);
        s = deft_file_write(r->checkpoint, bytes, HEADER + size, err);
        if (s == DEFT_OK) r->rows_saved = rows;
    }
    free(bytes);
    r->saved_at = now();
    return s;
}

static deft_status load_checkpoint(run *r, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    deft_bytes b = {NULL, 0};
    deft_status s = a ? deft_file_read(r->checkpoint, (size_t)1 << 32, a, &b, err)
                      : deft_fail(err, DEFT_E_SPACE, "no memory to resume");
    int64_t rows = 0;
    uint64_t n = 0;
    uint32_t setup = 0, crc = 0;
    if (s == DEFT_OK && (!b.data || b.size < HEADER || memcmp(b.data, magic, sizeof magic) != 0)) {
        s = deft_fail(err, DEFT_E_FORMAT, "%s: not a checkpoint", r->checkpoint);
    } else if (s == DEFT_OK) {
        memcpy(&setup, b.data + 8, sizeof setup);
        memcpy(&crc, b.data + 12, sizeof crc);
        memcpy(&rows, b.data + 16, sizeof rows);
        memcpy(&r->next_line, b.data + 24, sizeof r->next_line);
        memcpy(&n, b.data + 32, sizeof n);
        memcpy(&r->return_sum, b.data + 40, sizeof r->return_sum);
        memcpy(&r->return_count, b.data + 48, sizeof r->return_count);
        if (n != b.size - HEADER || crc != deft_crc32(0, b.data + HEADER, (size_t)n)) {
            s = deft_fail(err, DEFT_E_FORMAT, "%s: damaged", r->checkpoint);
        } else if (setup != r->setup_crc) {
            s = deft_fail(err, DEFT_E_MISMATCH, "%s: made with another config.json", r->checkpoint);
        }
    }
    const int64_t most = deft_trainer_capacity(r->trainer);
    const int64_t count = rows < most ? rows : most;
    char *const bytes = s == DEFT_OK && rows >= 0
                            ? malloc((size_t)count * deft_trainer_row_size(r->trainer) + 1)
                            : NULL;
    if (s == DEFT_OK && !bytes) s = deft_fail(err, DEFT_E_SPACE, "no memory to resume");
    if (s == DEFT_OK) s = load_rows(r, rows, count, bytes, err);
    if (s == DEFT_OK) {
        s = deft_trainer_state_load(r->trainer, b.data + HEADER, (size_t)n, bytes, count, err);
    }
    r->rows_saved = rows;
    free(bytes);
    deft_arena_destroy(a);
    return s;
}

/* --- progress.csv
 * --------------------------------------------------------------------------------- */

#define CSV_HEAD                                                                                   \
    "step,update,episodes,return,critic_loss,actor_loss,q,alpha,eval_return,eval_sd,"              \
    "eval_distance_cm\n"

/* Keeps the lines up to `step` (the checkpoint's) and opens the file behind them. */
static deft_status open_progress(run *r, int64_t step, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    deft_bytes old = {NULL, 0};
    deft_status s = a ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory to resume");
    if (s == DEFT_OK && step > 0 && exists(r->csv)) s = deft_file_read(r->csv, 0, a, &old, err);
    const char *p = (const char *)old.data, *const end = p ? p + old.size : NULL;
    size_t keep = 0;
    while (p && p < end) {
        const char *const line_end = memchr(p, '\n', (size_t)(end - p));
        if (!line_end) break;
        if (keep > 0 && strtoll(p, NULL, 10) > step) break;
        keep += (size_t)(line_end + 1 - p);
        p = line_end + 1;
    }
    if (s == DEFT_OK) {
        s = keep ? deft_file_write(r->csv, old.data, keep, err)
                 : deft_file_write(r->csv, CSV_HEAD, strlen(CSV_HEAD), err);
    }
    deft_arena_destroy(a);
    if (s != DEFT_OK) return s;
    r->progress = fopen(r->csv, "a");
    return r->progress ? DEFT_OK : io_fail(r->csv, "write", err);
}

static void note(run *r, const deft_train_report *x)
{
    for (int32_t i = 0; i < x->n_episode; i++) r->return_sum += x->episode[i].reward;
    r->return_count += x->n_episode;
    if (x->step < r->next_line && !x->evaluated) return;
    while (r->next_line <= x->step) r->next_line += PROGRESS_STEPS;
    (void)fprintf(r->progress, "%lld,%lld,%lld,", (long long)x->step, (long long)x->update,
                  (long long)r->return_count);
    if (r->return_count)
        (void)fprintf(r->progress, "%.6g", r->return_sum / (double)r->return_count);
    (void)fprintf(r->progress, ",%.6g,%.6g,%.6g,%.6g", (double)x->critic_loss,
                  (double)x->actor_loss, (double)x->q, (double)x->alpha);
    if (x->evaluated) {
        (void)fprintf(r->progress, ",%.6g,%.6g,%.6g\n", x->eval_reward, x->eval_sd,
                      x->eval_distance_cm);
    } else {
        (void)fputs(",,,\n", r->progress);
    }
    r->return_sum = 0;
    r->return_count = 0;
}

/* --- the run
 * -------------------------------------------------------------------------------------- */

static deft_status prepare(run *r, const deft_env *env, deft_error *err)
{
    deft_bytes json;
    deft_status s = deft_train_setup_write(r->setup, r->arena, &json, err);
    if (s != DEFT_OK) return s;
    // Threads do not change the result, so a run may go on with another number of them.
    deft_train_setup plain = *r->setup;
    plain.train.threads = 0;
    deft_bytes counted;
    s = deft_train_setup_write(&plain, r->arena, &counted, err);
    if (s != DEFT_OK) return s;
    r->setup_crc = deft_crc32(0, counted.data, counted.size);
    if (!r->opt->resume && (exists(r->config) || exists(r->checkpoint))) {
        return deft_fail(err, DEFT_E_ARG, "%s already holds a run; --resume goes on with it",
                         r->opt->dir);
    }
    if (mkdir(r->opt->dir, 0755) != 0 && errno != EEXIST) {
        return io_fail(r->opt->dir, "make the folder", err);
    }
    s = deft_trainer_create(&r->setup->train, env, &r->trainer, err);
    if (s == DEFT_OK && !r->opt->resume) s = deft_file_write(r->config, json.data, json.size, err);
    int64_t step = 0;
    if (s == DEFT_OK && r->opt->resume && exists(r->checkpoint)) {
        s = load_checkpoint(r, err);
        step = deft_trainer_step(r->trainer);
    }
    return s == DEFT_OK ? open_progress(r, step, err) : s;
}

static deft_status train(run *r, deft_error *err)
{
    const double every = r->opt->checkpoint_seconds > 0 ? r->opt->checkpoint_seconds : 120;
    r->saved_at = now();
    int32_t s = deft_trainer_step(r->trainer) >= r->setup->train.steps ? 1 : 0;
    while (s == 0) {
        deft_train_report x;
        s = deft_trainer_round(r->trainer, &x, err);
        if (s < 0) return (deft_status)s;
        note(r, &x);
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

deft_status deft_train_run(const deft_train_setup *s, const deft_env *env,
                           const deft_train_run_options *opt, deft_error *err)
{
    run r = {.opt = opt, .setup = s, .arena = deft_arena_create(0), .next_line = PROGRESS_STEPS};
    if (!r.arena) return deft_fail(err, DEFT_E_SPACE, "no memory for a run");
    r.config = deft_arena_printf(r.arena, "%s/config.json", opt->dir);
    r.checkpoint = deft_arena_printf(r.arena, "%s/checkpoint.bin", opt->dir);
    r.replay = deft_arena_printf(r.arena, "%s/replay.bin", opt->dir);
    r.csv = deft_arena_printf(r.arena, "%s/progress.csv", opt->dir);
    deft_status status = r.config && r.checkpoint && r.replay && r.csv
                             ? prepare(&r, env, err)
                             : deft_fail(err, DEFT_E_SPACE, "no memory for a run");
    if (status == DEFT_OK) status = train(&r, err);
    if (r.progress && fclose(r.progress) != 0 && status == DEFT_OK) {
        status = io_fail(r.csv, "write", err);
    }
    deft_trainer_destroy(r.trainer);
    deft_arena_destroy(r.arena);
    return status;
}
