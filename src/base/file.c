/* file.c - whole files in, whole files out; nothing half written is ever seen. */
#include "deft/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEMPORARY ".deft-tmp-"

static deft_status io_fail(deft_error *err, const char *path, const char *what)
{
    char name[256], why[128];
    if (strerror_r(errno, why, sizeof why) != 0) why[0] = '\0';
    return deft_fail(err, DEFT_E_IO, "%s: %s: %s", deft_escape(name, sizeof name, path, PATH_MAX),
                     what, why);
}

static deft_status read_all(int fd, uint8_t *data, size_t size, const char *path, deft_error *err)
{
    for (size_t done = 0; done < size;) {
        const ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_fail(err, path, "cannot read");
        if (n == 0) {
            char name[256];
            return deft_fail(err, DEFT_E_IO, "%s: shrank while being read (%zu of %zu bytes)",
                             deft_escape(name, sizeof name, path, PATH_MAX), done, size);
        }
        done += (size_t)n;
    }
    return DEFT_OK;
}

deft_status deft_file_read(const char *path, size_t max_size, deft_arena *a, deft_bytes *out,
                           deft_error *err)
{
    char name[256];
    (void)deft_escape(name, sizeof name, path, PATH_MAX);
    const size_t limit = max_size ? max_size : (size_t)1 << 30;
    // a FIFO must not hang us, and a device does things when it is opened
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return deft_fail(err, DEFT_E_IO, "%s: not a regular file", name);
    }
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return io_fail(err, path, "cannot open");
    deft_status s = DEFT_OK;
    uint8_t *data = NULL;
    if (fstat(fd, &st) != 0) {
        s = io_fail(err, path, "cannot stat");
    } else if (!S_ISREG(st.st_mode)) {
        s = deft_fail(err, DEFT_E_IO, "%s: not a regular file", name);
    } else if (st.st_size < 0 || (uintmax_t)st.st_size > limit) {
        s = deft_fail(err, DEFT_E_SPACE, "%s: %jd bytes, at most %zu are read", name,
                      (intmax_t)st.st_size, limit);
    } else {
        data = deft_arena_alloc(a, (size_t)st.st_size + 16);
        s = data ? read_all(fd, data, (size_t)st.st_size, path, err)
                 : deft_fail(err, DEFT_E_SPACE, "%s: no memory for %jd bytes", name,
                             (intmax_t)st.st_size);
    }
    (void)close(fd);
    if (s == DEFT_OK) *out = (deft_bytes){data, (size_t)st.st_size};
    return s;
}

/* As mkstemp, but with the mode that the umask leaves: to ask for the umask is to change it, for
 * all threads. tmp: from `at` on, six characters are replaced. -1 with errno. */
static int create_beside(char *tmp, size_t at)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    uint32_t n = (uint32_t)t.tv_nsec ^ (uint32_t)getpid() << 12 ^ (uint32_t)(uintptr_t)tmp;
    for (int tries = 0; tries < 1000; tries++) {
        (void)snprintf(tmp + at, 7, "%06x", (unsigned)(n >> 8));
        const int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
        n = n * 1664525u + 1013904223u;
    }
    return -1;
}

static deft_status write_all(int fd, const void *data, size_t size, const char *path,
                             deft_error *err)
{
    const uint8_t *p = data;
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(fd, p + done, size - done);
        if (n < 0 && errno != EINTR) return io_fail(err, path, "cannot write");
        if (n > 0) done += (size_t)n;
    }
    return DEFT_OK;
}

bool deft_file_is_special(const char *path)
{
    static const char *const opened[] = {"/dev/fd/", "/dev/std", "/proc/"};
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++) {
        if (strncmp(path, opened[i], strlen(opened[i])) == 0) return true;
    }
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static deft_status write_special(const char *path, const void *data, size_t size, deft_error *err)
{
    const int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) return io_fail(err, path, "cannot open");
    deft_status s = write_all(fd, data, size, path, err);
    if (close(fd) != 0 && s == DEFT_OK) s = io_fail(err, path, "cannot write");
    return s;
}

static deft_status write_regular(const char *path, const void *data, size_t size, deft_error *err)
{
    char tmp[PATH_MAX];
    const int len = snprintf(tmp, sizeof tmp, "%s" TEMPORARY "XXXXXX", path);
    if (len < 0 || (size_t)len >= sizeof tmp)
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    const int fd = create_beside(tmp, (size_t)len - 6);
    if (fd < 0) return io_fail(err, path, "cannot create");
    deft_status s = write_all(fd, data, size, path, err);
    if (s == DEFT_OK && fsync(fd) != 0) s = io_fail(err, path, "cannot write");
    if (close(fd) != 0 && s == DEFT_OK) s = io_fail(err, path, "cannot write");
    if (s == DEFT_OK && rename(tmp, path) != 0) s = io_fail(err, path, "cannot rename into place");
    if (s != DEFT_OK) (void)unlink(tmp);
    return s;
}

deft_status deft_file_write(const char *path, const void *data, size_t size, deft_error *err)
{
    struct stat st;
    if (deft_file_is_special(path)) return write_special(path, data, size, err);
    char *const target = lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? realpath(path, NULL) : NULL;
    const deft_status s = write_regular(target ? target : path, data, size, err);
    free(target);
    return s;
}

bool deft_file_is_temporary(const char *suffix)
{
    const size_t n = strlen(TEMPORARY);
    return strncmp(suffix, TEMPORARY, n) == 0 && strlen(suffix + n) == 6;
}

void deft_sha256(const void *data, size_t size, uint8_t out[32])
{
    SHA2_CTX ctx;
    SHA256Init(&ctx);
    SHA256Update(&ctx, data, size);
    SHA256Final(out, &ctx);
}

void deft_hex(const uint8_t *data, size_t n, char *out)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digit[data[i] >> 4];
        out[2 * i + 1] = digit[data[i] & 15];
    }
    out[2 * n] = '\0';
}

bool deft_folder_has(const char *path, const char *name)
{
    char whole[PATH_MAX];
    struct stat st;
    const int n = snprintf(whole, sizeof whole, "%s/%s", path, name);
    return n > 0 && (size_t)n < sizeof whole && stat(whole, &st) == 0;
}

deft_status deft_folder_make(const char *path, deft_error *err)
{
    char part[PATH_MAX];
    const size_t n = strlen(path);
    if (n >= sizeof part) return deft_fail(err, DEFT_E_ARG, "the path is too long");
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        struct stat is;
        if (mkdir(part, 0777) == 0) continue;
        const int why = errno;
        const bool there = stat(part, &is) == 0;
        if (there && S_ISDIR(is.st_mode)) continue;
        errno = there ? ENOTDIR : why;
        return io_fail(err, path, "cannot make the folder");
    }
    return DEFT_OK;
}
