/* tfevents.c - TensorBoard's event files. */
#include "app/tfevents.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "events.out.tfevents."

enum { EVENT_ROOM = 512, MAX_TAG = 128 };
/* Fields of Event, Summary, Summary.Value and SessionLog, with their wire types. */
enum {
    EVENT_WALL_TIME = 1 << 3 | 1,
    EVENT_STEP = 2 << 3 | 0,
    EVENT_FILE_VERSION = 3 << 3 | 2,
    EVENT_SUMMARY = 5 << 3 | 2,
    EVENT_SESSION_LOG = 7 << 3 | 2,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5,
    SESSION_STATUS = 1 << 3 | 0,
    SESSION_START = 1,
};

struct tfevents {
    FILE *file;
    char path[PATH_MAX];
};

/* A message under construction; EVENT_ROOM is enough for all of ours. */
typedef struct message {
    size_t n;
    uint8_t byte[EVENT_ROOM];
} message;

static deft_status fail(const tfevents *t, deft_error *err)
{
    char name[256];
    return deft_fail(err, DEFT_E_IO, "%s: cannot write: %s",
                     deft_escape(name, sizeof name, t->path, PATH_MAX), strerror(errno));
}

static void put(message *m, const void *p, size_t n)
{
    memcpy(m->byte + m->n, p, n);
    m->n += n;
}

static void put_varint(message *m, uint64_t v)
{
    for (; v > 127; v >>= 7) m->byte[m->n++] = (uint8_t)(v & 127) | 128;
    m->byte[m->n++] = (uint8_t)v;
}

static void put_le(message *m, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) m->byte[m->n++] = (uint8_t)(v >> 8 * i);
}

static void put_bytes(message *m, int field, const void *p, size_t n)
{
    put_varint(m, (uint64_t)field);
    put_varint(m, n);
    put(m, p, n);
}

/* Castagnoli's polynomial, reflected, masked as in TFRecord. */
static uint32_t masked_crc32c(const uint8_t *p, size_t n)
{
    uint32_t c = ~(uint32_t)0;
    while (n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
    }
    c = ~c;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static message event(int64_t step)
{
    message m = {0};
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const double t = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    uint64_t bits;
    memcpy(&bits, &t, sizeof bits);
    put_varint(&m, EVENT_WALL_TIME);
    put_le(&m, bits, 8);
    if (step) {
        put_varint(&m, EVENT_STEP);
        put_varint(&m, (uint64_t)step);
    }
    return m;
}

static bool write_record(tfevents *t, const message *m)
{
    message head = {0}, foot = {0};
    put_le(&head, m->n, 8);
    put_le(&head, masked_crc32c(head.byte, 8), 4);
    put_le(&foot, masked_crc32c(m->byte, m->n), 4);
    return fwrite(head.byte, 1, head.n, t->file) == head.n &&
           fwrite(m->byte, 1, m->n, t->file) == m->n &&
           fwrite(foot.byte, 1, foot.n, t->file) == foot.n;
}

/* TensorBoard reads files in the order of their names, which begin with seconds: later than now
 * if there is one of this second already. */
static long long next_second(const char *dir)
{
    long long second = (long long)time(NULL);
    DIR *const d = opendir(dir);
    if (!d) return second;
    for (const struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0) continue;
        const long long other = strtoll(e->d_name + strlen(PREFIX), NULL, 10);
        if (other >= second && other < 9999999999) second = other + 1;
    }
    (void)closedir(d);
    return second;
}

deft_status tfevents_open(const char *dir, int64_t from, tfevents **out, deft_error *err)
{
    static const char version[] = "brain.Event:2";
    static const uint8_t start[] = {SESSION_STATUS, SESSION_START};
    *out = NULL;
    tfevents *const t = calloc(1, sizeof *t);
    if (!t) return deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    char host[64] = "";
    if (gethostname(host, sizeof host - 1) != 0 || !host[0]) memcpy(host, "host", sizeof "host");
    const int n = snprintf(t->path, sizeof t->path, "%s/" PREFIX "%010lld.%s.%ld.0", dir,
                           next_second(dir), host, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof t->path) {
        free(t);
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    }
    message first = event(0), session = event(from);
    put_bytes(&first, EVENT_FILE_VERSION, version, strlen(version));
    put_bytes(&session, EVENT_SESSION_LOG, start, sizeof start);
    t->file = fopen(t->path, "wbx");
    if (!t->file || !write_record(t, &first) || !write_record(t, &session) ||
        fflush(t->file) != 0) {
        const deft_status s = fail(t, err);
        if (t->file) (void)fclose(t->file);
        free(t);
        return s;
    }
    *out = t;
    return DEFT_OK;
}

deft_status tfevents_write(tfevents *t, int64_t step, const tfevents_scalar *s, int n,
                           deft_error *err)
{
    for (int i = 0; i < n; i++) {
        if (!isfinite(s[i].value)) continue;
        const float value = (float)s[i].value;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        message scalar = {0}, summary = {0}, m = event(step);
        put_bytes(&scalar, VALUE_TAG, s[i].tag, strnlen(s[i].tag, MAX_TAG));
        put_varint(&scalar, VALUE_SIMPLE);
        put_le(&scalar, bits, 4);
        put_bytes(&summary, SUMMARY_VALUE, scalar.byte, scalar.n);
        put_bytes(&m, EVENT_SUMMARY, summary.byte, summary.n);
        if (!write_record(t, &m)) return fail(t, err);
    }
    return fflush(t->file) == 0 ? DEFT_OK : fail(t, err);
}

deft_status tfevents_close(tfevents *t, deft_error *err)
{
    if (!t) return DEFT_OK;
    const deft_status s = fclose(t->file) == 0 ? DEFT_OK : fail(t, err);
    free(t);
    return s;
}
