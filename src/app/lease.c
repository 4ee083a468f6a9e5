/* lease.c - leases on folders. */
#include "app/lease.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "lease."

enum { HOST_TEXT = 200, PROC_TEXT = 1024, NAME_DIGITS = 18 };
static const double beat_seconds = 2; // between two beats, or a sixth of the limit

/* What a lease file says. */
typedef struct content {
    char machine[HOST_TEXT]; // name, boot and process namespace: pids mean the same in there
    char token[33];          // of the lease
    long pid;
    int64_t started; // of the process, in ticks since the boot; 0: not known
    int64_t beat, step, steps;
    double reward; // of the last evaluation; NAN: none
} content;

struct lease {
    char dir[PATH_MAX], path[PATH_MAX];
    int64_t generation;
    double period;
    content mine; // all but beat and news
    _Atomic int64_t step, steps;
    _Atomic double reward;
    atomic_bool lost;
    pthread_t thread;
    pthread_mutex_t lock; // of stop
    pthread_cond_t wake;
    bool stop;
};

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- processes ------------------------------------------------------------------------------- */

/* The beginning of a small file, or "". */
static void slurp(const char *path, char *text, size_t n)
{
    FILE *const f = fopen(path, "r");
    const size_t k = f ? fread(text, 1, n - 1, f) : 0;
    text[k] = '\0';
    if (f) (void)fclose(f);
    text[strcspn(text, "\n")] = '\0';
}

/* Two machines may have one name, and containers of one machine each their own numbers. */
static void this_machine(char out[HOST_TEXT])
{
    char host[65] = "", boot[64], space[64] = "";
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    slurp("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    const ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    if (n > 0) space[n] = '\0';
    (void)snprintf(out, HOST_TEXT, "%s %s %s", host, boot, space);
}

/* Its start in ticks, 0 where that is not to be found out; -1: there is no such process, or it has
 * ended and only waits to be reaped. */
static int64_t process_start(long pid)
{
    char path[64], text[PROC_TEXT];
    if (pid <= 0 || (kill((pid_t)pid, 0) != 0 && errno == ESRCH)) return -1;
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    slurp(path, text, sizeof text);
    const char *p = strrchr(text, ')'); // the name before it may hold anything
    if (!p || p[1] == '\0') return 0;
    p += 2;
    if (*p == 'Z' || *p == 'X') return -1;
    for (int field = 3; field < 22; field++) { // proc(5)
        p = strchr(p, ' ');
        if (!p) return 0;
        p++;
    }
    return strtoll(p, NULL, 10);
}

/* --- files ----------------------------------------------------------------------------------- */

/* The highest generation in the folder, 0: none. */
static int64_t newest(const char *dir)
{
    int64_t most = 0;
    DIR *const d = opendir(dir);
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d));) {
        const char *const digits = e->d_name + strlen(PREFIX);
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0) continue;
        const size_t n = strspn(digits, "0123456789");
        if (n == 0 || n > NAME_DIGITS || digits[n]) continue; // a temporary one
        const int64_t g = strtoll(digits, NULL, 10);
        if (g > most) most = g;
    }
    (void)closedir(d);
    return most;
}

static bool path_of(char path[PATH_MAX], const char *dir, int64_t generation)
{
    const int n = snprintf(path, PATH_MAX, "%s/" PREFIX "%06" PRId64, dir, generation);
    return n > 0 && n < PATH_MAX;
}

static void copy_text(char *to, size_t n, const json_t *from)
{
    const char *const text = json_string_value(from);
    (void)snprintf(to, n, "%s", text ? text : "");
}

/* False: it is not there any more. One that says nothing has an empty token and no beats. */
static bool read_content(const char *path, content *c)
{
    *c = (content){.reward = (double)NAN};
    FILE *const f = fopen(path, "r");
    if (!f) return false;
    json_t *const j = json_loadf(f, 0, NULL);
    (void)fclose(f);
    copy_text(c->machine, sizeof c->machine, json_object_get(j, "machine"));
    copy_text(c->token, sizeof c->token, json_object_get(j, "token"));
    c->pid = (long)json_integer_value(json_object_get(j, "pid"));
    c->started = json_integer_value(json_object_get(j, "started"));
    c->beat = json_integer_value(json_object_get(j, "beat"));
    c->step = json_integer_value(json_object_get(j, "step"));
    c->steps = json_integer_value(json_object_get(j, "steps"));
    const json_t *const reward = json_object_get(j, "evaluated");
    c->reward = json_is_number(reward) ? json_number_value(reward) : (double)NAN;
    json_decref(j);
    return true;
}

static deft_status write_content(const char *path, const content *c, deft_error *err)
{
    char machine[HOST_TEXT]; // JSON is UTF-8
    (void)deft_escape(machine, sizeof machine, c->machine, sizeof c->machine);
    json_t *const j = json_pack(
        "{s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "machine", machine, "pid", (json_int_t)c->pid,
        "started", (json_int_t)c->started, "token", c->token, "beat", (json_int_t)c->beat, "step",
        (json_int_t)c->step, "steps", (json_int_t)c->steps, "time", (json_int_t)time(NULL));
    if (j && isfinite(c->reward)) (void)json_object_set_new(j, "evaluated", json_real(c->reward));
    char *const text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    json_decref(j);
    if (!text) return deft_fail(err, DEFT_E_SPACE, "no memory for a lease");
    const deft_status s = deft_file_write(path, text, strlen(text), err);
    free(text);
    return s;
}

/* --- holding --------------------------------------------------------------------------------- */

static bool still_mine(const lease *l)
{
    content c;
    return newest(l->dir) == l->generation && read_content(l->path, &c) &&
           strcmp(c.token, l->mine.token) == 0;
}

deft_status lease_check(const lease *l, deft_error *err)
{
    if (!atomic_load(&l->lost) && still_mine(l)) return DEFT_OK;
    char name[256];
    return deft_fail(err, DEFT_E_CANCELLED, "%s: another process has taken the run over",
                     deft_escape(name, sizeof name, l->dir, PATH_MAX));
}

static struct timespec after(double period)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    const double whole = floor(period);
    t.tv_sec += (time_t)whole;
    t.tv_nsec += (long)(1e9 * (period - whole));
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static void *beats(void *arg)
{
    lease *const l = arg;
    content c = l->mine;
    (void)pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        const struct timespec until = after(l->period);
        (void)pthread_cond_timedwait(&l->wake, &l->lock, &until);
        if (l->stop) break;
        (void)pthread_mutex_unlock(&l->lock);
        c.beat++;
        c.step = atomic_load(&l->step);
        c.steps = atomic_load(&l->steps);
        c.reward = atomic_load(&l->reward);
        // a beat that cannot be written is missed; enough of those, and somebody takes over
        if (!still_mine(l)) atomic_store(&l->lost, true);
        if (!atomic_load(&l->lost)) (void)write_content(l->path, &c, NULL);
        if (newest(l->dir) != l->generation && !atomic_load(&l->lost)) {
            atomic_store(&l->lost, true); // overtaken meanwhile: nobody shall find this beat
            (void)unlink(l->path);
        }
        (void)pthread_mutex_lock(&l->lock);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

void lease_tell(lease *l, int64_t step, int64_t steps, double reward)
{
    atomic_store(&l->step, step);
    atomic_store(&l->steps, steps);
    atomic_store(&l->reward, reward);
}

void lease_release(lease *l)
{
    if (!l) return;
    (void)pthread_mutex_lock(&l->lock);
    l->stop = true;
    (void)pthread_cond_signal(&l->wake);
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_join(l->thread, NULL);
    if (still_mine(l)) (void)unlink(l->path);
    (void)pthread_mutex_destroy(&l->lock);
    (void)pthread_cond_destroy(&l->wake);
    free(l);
}

/* --- taking ---------------------------------------------------------------------------------- */

/* Is the lease of this generation dead? One that vanished is. */
static bool dead(const char *path, int64_t generation, double limit, lease_watch *w)
{
    content c;
    char machine[HOST_TEXT], shown[HOST_TEXT];
    if (!read_content(path, &c)) return true;
    this_machine(machine);
    (void)deft_escape(shown, sizeof shown, machine, sizeof machine);
    if (strcmp(c.machine, shown) == 0) {
        const int64_t start = process_start(c.pid);
        if (start < 0 || (start > 0 && c.started > 0 && start != c.started)) return true;
    }
    const double t = seconds();
    if (w->generation != generation || w->beat != c.beat || strcmp(w->token, c.token) != 0) {
        *w = (lease_watch){.beat = c.beat, .generation = generation, .since = t};
        memcpy(w->token, c.token, sizeof w->token);
    }
    return t - w->since > limit;
}

/* A lease of this process, not yet in any file; NULL: no memory. */
static lease *draw_up(const char *dir, int64_t generation, double limit)
{
    lease *const l = calloc(1, sizeof *l);
    if (!l) return NULL;
    const int n = snprintf(l->dir, sizeof l->dir, "%s", dir);
    if (n < 0 || (size_t)n >= sizeof l->dir || !path_of(l->path, dir, generation)) {
        free(l);
        return NULL;
    }
    l->generation = generation;
    l->period = fmin(beat_seconds, limit / 6);
    l->mine.reward = (double)NAN;
    atomic_init(&l->reward, (double)NAN);
    this_machine(l->mine.machine);
    l->mine.pid = (long)getpid();
    const int64_t start = process_start(l->mine.pid);
    l->mine.started = start > 0 ? start : 0;
    struct {
        char machine[HOST_TEXT];
        int64_t pid, start;
        double time;
        const void *address;
    } unique;
    memset(&unique, 0, sizeof unique); // padding, too
    memcpy(unique.machine, l->mine.machine, HOST_TEXT);
    unique.pid = l->mine.pid;
    unique.start = start;
    unique.time = seconds();
    unique.address = l;
    uint8_t hash[32];
    deft_sha256(&unique, sizeof unique, hash);
    deft_hex(hash, 16, l->mine.token);
    return l;
}

/* 0: the file is there and ours; 1: another was quicker. */
static int32_t put_down(const lease *l, deft_error *err)
{
    char draft[PATH_MAX];
    const int n = snprintf(draft, sizeof draft, "%s/lease-%s", l->dir, l->mine.token);
    if (n < 0 || (size_t)n >= sizeof draft) {
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    }
    const deft_status s = write_content(draft, &l->mine, err);
    if (s != DEFT_OK) return s;
    const int linked = link(draft, l->path) == 0 ? 0 : errno;
    // NFS may report a failure of what was done: the count of links tells
    struct stat st;
    const bool done = linked == 0 || (stat(draft, &st) == 0 && st.st_nlink == 2);
    (void)unlink(draft);
    if (done) return 0;
    if (linked == EEXIST) return 1;
    char name[256];
    return deft_fail(err, DEFT_E_IO, "%s: cannot make a lease: %s",
                     deft_escape(name, sizeof name, l->path, PATH_MAX), strerror(linked));
}

static bool start_beating(lease *l)
{
    if (pthread_mutex_init(&l->lock, NULL) != 0) return false;
    if (pthread_cond_init(&l->wake, NULL) == 0) {
        // signals are for the threads that were there before
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        const bool good = pthread_create(&l->thread, NULL, beats, l) == 0;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (good) return true;
        (void)pthread_cond_destroy(&l->wake);
    }
    (void)pthread_mutex_destroy(&l->lock);
    return false;
}

int32_t lease_take(const char *dir, double limit, lease_watch *w, lease **out, deft_error *err)
{
    *out = NULL;
    char old[PATH_MAX] = "";
    const int64_t generation = newest(dir);
    if (generation > 0 && (!path_of(old, dir, generation) || !dead(old, generation, limit, w))) {
        return 1;
    }
    lease *const l = draw_up(dir, generation + 1, limit);
    if (!l) return deft_fail(err, DEFT_E_SPACE, "no memory for a lease");
    const int32_t s = put_down(l, err);
    if (s == 0 && !start_beating(l)) {
        (void)unlink(l->path);
        free(l);
        return deft_fail(err, DEFT_E_SPACE,
                         "no memory for the thread of a lease (ulimit -v, ulimit -u)");
    }
    if (s != 0) {
        free(l);
        return s;
    }
    if (old[0]) (void)unlink(old);
    *out = l;
    return DEFT_OK;
}

bool lease_read(const char *dir, lease_info *out)
{
    char path[PATH_MAX];
    content c;
    *out = (lease_info){.pid = 0};
    const int64_t generation = newest(dir);
    if (generation == 0 || !path_of(path, dir, generation) || !read_content(path, &c)) return false;
    (void)snprintf(out->host, sizeof out->host, "%.*s", (int)strcspn(c.machine, " "), c.machine);
    out->pid = c.pid;
    out->step = c.step;
    out->steps = c.steps;
    out->reward = c.reward;
    return true;
}
