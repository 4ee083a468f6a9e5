/* train_checkpoint.c - a run between two rounds, as files. */
#include "app/train_checkpoint.h"
#include "base/crc32.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The third kind, which says nothing of progress.csv, is still read. */
static const char magic[8] = "DEFTRUN4", magic3[8] = "DEFTRUN3";

/* checkpoint.bin's first bytes, in the order of this machine: a run does not move to another kind
 * of one. */
enum {
    AT_SETUP = 8, // u32, CRC of the setup
    AT_CRC = 12,  // u32, of the header with zero here, and of all behind it
    AT_ROWS = 16, // i64, ever appended
    AT_NEXT_LINE = 24,
    AT_STATE = 32,  // u64, bytes of the trainer's state, which follows the header
    AT_RETURN = 40, // f64 and i64: what the next line of progress holds so far
    AT_COUNT = 48,
    AT_SECONDS = 56,  // f64, trained so far
    AT_SCENE = 64,    // u64
    AT_INSIDE = 72,   // u32, 1: the rows follow the state, none are in replay.bin
    AT_ROWS_CRC = 76, // u32, of replay.bin up to AT_ROWS
    AT_CORE = 80,     // char[16], zeros behind
    HEADER_3 = 96,
    AT_LOG_ROWS = 96,   // i64, of progress.csv
    AT_LOG_BYTES = 104, // u64
    AT_LOG_CRC = 112,   // u32
    HEADER = 128,
};
enum { BLOCK = 4096 };

static deft_status io_fail(const char *path, const char *what, deft_error *err)
{
    char name[256];
    return deft_fail(err, DEFT_E_IO, "%s: cannot %s: %s",
                     deft_escape(name, sizeof name, path, PATH_MAX), what, strerror(errno));
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

/* What follows the warm-up may change rows of it (normalisation, an encoder that was trained), and
 * replay.bin must fit the checkpoint at every moment: until then, and for a round more, rows are
 * inside the checkpoint. */
static bool rows_inside(const deft_trainer *t, const deft_train_config *c)
{
    return deft_trainer_step(t) <= c->warmup + 2 * (int64_t)c->envs * c->round;
}

/* Rows since the last checkpoint, behind those of it; what a killed run left beyond is overwritten.
 */
deft_status train_checkpoint_save_rows(train_checkpoint *c, const deft_trainer *t,
                                       const deft_train_config *cfg, deft_error *err)
{
    if (rows_inside(t, cfg)) return DEFT_OK;
    const size_t size = deft_trainer_row_size(t);
    const int64_t rows = deft_trainer_rows(t), count = rows - c->rows_saved;
    char *const bytes = malloc((size_t)count * size + 1);
    const int fd = open(c->replay, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    deft_status s = DEFT_OK;
    if (!bytes) {
        s = deft_fail(err, DEFT_E_SPACE, "no memory for a checkpoint");
    } else if (fd < 0) {
        s = io_fail(c->replay, "write", err);
    } else {
        deft_trainer_rows_save(t, c->rows_saved, count, bytes);
        if (lseek(fd, (off_t)((size_t)c->rows_saved * size), SEEK_SET) < 0 ||
            write_all(fd, bytes, (size_t)count * size) != DEFT_OK || fsync(fd) != 0) {
            s = io_fail(c->replay, "write", err);
        }
    }
    if (fd >= 0 && close(fd) != 0 && s == DEFT_OK) s = io_fail(c->replay, "write", err);
    if (s == DEFT_OK) {
        c->rows_crc = deft_crc32(c->rows_crc, bytes, (size_t)count * size);
        c->rows_saved = rows;
    }
    free(bytes);
    return s;
}

/* The last `count` of `rows` rows to `to`, when all are as they were written. */
static deft_status load_rows(const train_checkpoint *c, size_t size, int64_t count, char *to,
                             deft_error *err)
{
    char block[BLOCK], name[256];
    FILE *const f = fopen(c->replay, "rb");
    if (!f) return io_fail(c->replay, "read", err);
    uint32_t crc = 0;
    bool whole = true;
    size_t before = (size_t)(c->rows_saved - count) * size;
    while (whole && before > 0) {
        const size_t n = before < sizeof block ? before : sizeof block;
        whole = fread(block, 1, n, f) == n;
        crc = deft_crc32(crc, block, n);
        before -= n;
    }
    whole = whole && fread(to, size, (size_t)count, f) == (size_t)count;
    (void)fclose(f);
    if (whole && deft_crc32(crc, to, (size_t)count * size) == c->rows_crc) return DEFT_OK;
    return deft_fail(err, DEFT_E_FORMAT, "%s: %s",
                     deft_escape(name, sizeof name, c->replay, PATH_MAX),
                     whole ? "damaged" : "shorter than the checkpoint says");
}

/* --- checkpoint.bin -------------------------------------------------------------------------- */

static int64_t kept_rows(const deft_trainer *t, int64_t rows)
{
    const int64_t most = deft_trainer_capacity(t);
    return rows < most ? rows : most;
}

/* The whole file, to be freed by the caller; NULL: no memory. */
static uint8_t *make_checkpoint(const train_checkpoint *c, const deft_trainer *t, bool inside,
                                size_t *size)
{
    const int64_t rows = deft_trainer_rows(t), kept = inside ? kept_rows(t, rows) : 0;
    const uint64_t n = deft_trainer_state_size(t);
    const size_t row_bytes = (size_t)kept * deft_trainer_row_size(t);
    *size = HEADER + (size_t)n + row_bytes;
    uint8_t *const b = calloc(1, *size);
    if (!b) return NULL;
    deft_trainer_state_save(t, b + HEADER);
    if (inside) deft_trainer_rows_save(t, rows - kept, kept, b + HEADER + n);
    const uint32_t flag = inside;
    memcpy(b, magic, sizeof magic);
    memcpy(b + AT_SETUP, &c->setup, sizeof c->setup);
    memcpy(b + AT_ROWS, &rows, sizeof rows);
    memcpy(b + AT_NEXT_LINE, &c->next_line, sizeof c->next_line);
    memcpy(b + AT_STATE, &n, sizeof n);
    memcpy(b + AT_RETURN, &c->return_sum, sizeof c->return_sum);
    memcpy(b + AT_COUNT, &c->return_count, sizeof c->return_count);
    memcpy(b + AT_SECONDS, &c->seconds, sizeof c->seconds);
    memcpy(b + AT_SCENE, &c->scene, sizeof c->scene);
    memcpy(b + AT_INSIDE, &flag, sizeof flag);
    memcpy(b + AT_ROWS_CRC, &c->rows_crc, sizeof c->rows_crc);
    memcpy(b + AT_CORE, c->core, strnlen(c->core, sizeof c->core - 1));
    memcpy(b + AT_LOG_ROWS, &c->log.rows, sizeof c->log.rows);
    memcpy(b + AT_LOG_BYTES, &c->log.bytes, sizeof c->log.bytes);
    memcpy(b + AT_LOG_CRC, &c->log.crc, sizeof c->log.crc);
    const uint32_t crc = deft_crc32(0, b, *size);
    memcpy(b + AT_CRC, &crc, sizeof crc);
    return b;
}

deft_status train_checkpoint_save(train_checkpoint *c, const deft_trainer *t,
                                  const deft_train_config *cfg, deft_error *err)
{
    size_t size;
    uint8_t *const bytes = make_checkpoint(c, t, rows_inside(t, cfg), &size);
    const deft_status s = bytes ? deft_file_write(c->path, bytes, size, err)
                                : deft_fail(err, DEFT_E_SPACE, "no memory for a checkpoint");
    free(bytes);
    return s;
}

/* What the header says. */
typedef struct header {
    uint64_t n_state;
    int64_t rows;
    bool inside;
    size_t size; // of the header itself
} header;

static deft_status check_whole(const train_checkpoint *c, deft_bytes b, header *h, deft_error *err)
{
    static const uint8_t zero[4] = {0};
    char name[256];
    (void)deft_escape(name, sizeof name, c->path, PATH_MAX);
    const bool third = b.size >= sizeof magic && memcmp(b.data, magic3, sizeof magic) == 0;
    h->size = third ? HEADER_3 : HEADER;
    if (!third && (b.size < sizeof magic || memcmp(b.data, magic, sizeof magic) != 0)) {
        const bool old = b.size >= sizeof magic && memcmp(b.data, magic, sizeof magic - 1) == 0;
        return deft_fail(err, DEFT_E_FORMAT, "%s: not a checkpoint%s", name,
                         old ? " of this version of deft, but of another one" : "");
    }
    if (b.size < h->size) return deft_fail(err, DEFT_E_FORMAT, "%s: cut short", name);
    uint32_t want, crc = deft_crc32(0, b.data, AT_CRC);
    memcpy(&want, b.data + AT_CRC, sizeof want);
    crc = deft_crc32(crc, zero, sizeof zero);
    crc = deft_crc32(crc, b.data + AT_CRC + 4, b.size - AT_CRC - 4);
    return crc == want ? DEFT_OK : deft_fail(err, DEFT_E_FORMAT, "%s: damaged", name);
}

static void read_log(train_checkpoint *c, deft_bytes b)
{
    memcpy(&c->log.rows, b.data + AT_LOG_ROWS, sizeof c->log.rows);
    memcpy(&c->log.bytes, b.data + AT_LOG_BYTES, sizeof c->log.bytes);
    memcpy(&c->log.crc, b.data + AT_LOG_CRC, sizeof c->log.crc);
}

static deft_status read_header(train_checkpoint *c, const deft_trainer *t, deft_bytes b, header *h,
                               deft_error *err)
{
    char name[256];
    uint32_t setup, inside;
    uint64_t scene;
    (void)deft_escape(name, sizeof name, c->path, PATH_MAX);
    if (!b.data) return deft_fail(err, DEFT_E_FORMAT, "%s: empty", name);
    const deft_status s = check_whole(c, b, h, err);
    if (s != DEFT_OK) return s;
    memcpy(&setup, b.data + AT_SETUP, sizeof setup);
    memcpy(&h->rows, b.data + AT_ROWS, sizeof h->rows);
    memcpy(&c->next_line, b.data + AT_NEXT_LINE, sizeof c->next_line);
    memcpy(&h->n_state, b.data + AT_STATE, sizeof h->n_state);
    memcpy(&c->return_sum, b.data + AT_RETURN, sizeof c->return_sum);
    memcpy(&c->return_count, b.data + AT_COUNT, sizeof c->return_count);
    memcpy(&c->seconds, b.data + AT_SECONDS, sizeof c->seconds);
    memcpy(&scene, b.data + AT_SCENE, sizeof scene);
    memcpy(&inside, b.data + AT_INSIDE, sizeof inside);
    memcpy(&c->rows_crc, b.data + AT_ROWS_CRC, sizeof c->rows_crc);
    memcpy(c->core, b.data + AT_CORE, sizeof c->core - 1);
    c->core[sizeof c->core - 1] = '\0';
    c->log = (train_mark){.bytes = 0};
    if (h->size == HEADER) read_log(c, b);
    if (setup != c->setup) {
        return deft_fail(err, DEFT_E_MISMATCH,
                         "%s: made with another config.json, or by another version of deft", name);
    }
    if (scene != c->scene) {
        return deft_fail(err, DEFT_E_MISMATCH,
                         "%s: made in another scene, or with another version of MuJoCo", name);
    }
    h->inside = inside == 1;
    const size_t rest = b.size - h->size;
    // whoever makes a checksum of his own may still lie
    const int64_t most = (int64_t)(SIZE_MAX / 2 / (deft_trainer_row_size(t) + 1));
    const bool sane =
        h->rows >= 0 && h->rows < most && inside <= 1 && h->n_state <= rest && c->next_line >= 0 &&
        c->next_line < INT64_MAX / 2 && isfinite(c->seconds) &&
        rest - h->n_state ==
            (h->inside ? (size_t)kept_rows(t, h->rows) * deft_trainer_row_size(t) : 0);
    return sane ? DEFT_OK : deft_fail(err, DEFT_E_FORMAT, "%s: damaged", name);
}

deft_status train_checkpoint_load(train_checkpoint *c, deft_trainer *t, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    deft_bytes b = {NULL, 0};
    deft_status s = a ? deft_file_read(c->path, (size_t)1 << 34, a, &b, err)
                      : deft_fail(err, DEFT_E_SPACE, "no memory to resume");
    header h = {.rows = 0, .size = HEADER};
    if (s == DEFT_OK) s = read_header(c, t, b, &h, err);
    char *read = NULL;
    if (s == DEFT_OK && !h.inside) {
        const int64_t kept = kept_rows(t, h.rows);
        c->rows_saved = h.rows;
        read = malloc((size_t)kept * deft_trainer_row_size(t) + 1);
        s = read ? load_rows(c, deft_trainer_row_size(t), kept, read, err)
                 : deft_fail(err, DEFT_E_SPACE, "no memory to resume");
    }
    if (s == DEFT_OK && b.data) {
        const void *const rows = h.inside ? (const void *)(b.data + h.size + h.n_state) : read;
        s = deft_trainer_state_load(t, b.data + h.size, (size_t)h.n_state, rows,
                                    kept_rows(t, h.rows), err);
    }
    if (s == DEFT_OK && deft_trainer_rows(t) != h.rows) {
        char name[256];
        s = deft_fail(err, DEFT_E_FORMAT, "%s: damaged",
                      deft_escape(name, sizeof name, c->path, PATH_MAX));
    }
    free(read);
    deft_arena_destroy(a);
    return s;
}

bool train_checkpoint_is_own(const char *path)
{
    char head[sizeof magic - 1]; // the last character is the version
    FILE *const f = fopen(path, "rb");
    const bool own =
        f && fread(head, 1, sizeof head, f) == sizeof head && memcmp(head, magic, sizeof head) == 0;
    if (f) (void)fclose(f);
    return own;
}
