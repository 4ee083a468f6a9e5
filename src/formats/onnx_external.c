/* onnx_external.c - tensors kept in files beside the model. */
#include "formats/onnx_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_EXTERNAL ((uint64_t)1 << 30)

/* Opens location below dir one component at a time, never following a link, never leaving. */
static int open_below(const char *dir, const char *location, deft_error *err)
{
    char name[200];
    (void)deft_escape(name, sizeof name, location, 4096);
    if (location[0] == '/' || location[0] == '\0') {
        (void)deft_fail(err, DEFT_E_FORMAT, "external data '%s': the path must be relative", name);
        return -1;
    }
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *p = location;
    while (at >= 0 && *p) {
        char part[256];
        const size_t len = strcspn(p, "/");
        const bool last = p[len] == '\0';
        if (len == 0 || len >= sizeof part || (len == 2 && memcmp(p, "..", 2) == 0)) {
            (void)close(at);
            (void)deft_fail(err, DEFT_E_FORMAT, "external data '%s': leaves the model's folder",
                            name);
            return -1;
        }
        memcpy(part, p, len);
        part[len] = '\0';
        const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (last ? 0 : O_DIRECTORY);
        const int next = openat(at, part, flags);
        (void)close(at);
        at = next;
        p += len + (last ? 0 : 1);
    }
    struct stat st;
    if (at < 0 || fstat(at, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (at >= 0) (void)close(at);
        (void)deft_fail(err, DEFT_E_IO,
                        "external data '%s': no such regular file beside the model (links are not "
                        "followed)",
                        name);
        return -1;
    }
    return at;
}

static bool parse_number(const char *s, uint64_t *v)
{
    char *end = NULL;
    errno = 0;
    if (!s || *s < '0' || *s > '9') return false;
    *v = strtoull(s, &end, 10);
    return errno == 0 && *end == '\0' && *v <= INT64_MAX;
}

/* What a file holds counts twice, once it is seen. */
static void grant(onnx_folder *dir, const struct stat *st)
{
    const uint64_t id[2] = {(uint64_t)st->st_dev, (uint64_t)st->st_ino};
    for (int i = 0; i < dir->n_file; i++)
        if (dir->file[i][0] == id[0] && dir->file[i][1] == id[1]) return;
    if (dir->n_file == ONNX_MAX_FILES) return;
    dir->file[dir->n_file][0] = id[0];
    dir->file[dir->n_file++][1] = id[1];
    dir->left += 2 * (uint64_t)st->st_size;
}

/* Room for size more bytes of the file? */
static deft_status check_size(onnx_folder *dir, const struct stat *st, uint64_t offset, size_t size,
                              deft_error *err)
{
    if (st->st_size < 0 || offset > (uint64_t)st->st_size || size > (uint64_t)st->st_size - offset)
        return deft_fail(err, DEFT_E_FORMAT,
                         "external data: %zu bytes from byte %llu on are not in the file", size,
                         (unsigned long long)offset);
    grant(dir, st);
    if (dir->read + size > MAX_EXTERNAL)
        return deft_fail(err, DEFT_E_SPACE, "external data: more than 1 GiB in all");
    if (size > dir->left)
        return deft_fail(err, DEFT_E_SPACE,
                         "external data: the tensors take more bytes than their files hold: many "
                         "of them name the same ones");
    return DEFT_OK;
}

deft_status onnx_external(const Onnx__TensorProto *p, onnx_folder *dir, size_t size, deft_arena *a,
                          deft_bytes *out, deft_error *err)
{
    const char *location = NULL;
    uint64_t offset = 0, length = size;
    for (size_t i = 0; i < p->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = p->external_data[i];
        if (!e->key || !e->value) continue;
        bool ok = true;
        if (strcmp(e->key, "location") == 0)
            location = e->value;
        else if (strcmp(e->key, "offset") == 0)
            ok = parse_number(e->value, &offset);
        else if (strcmp(e->key, "length") == 0)
            ok = parse_number(e->value, &length);
        if (!ok)
            return deft_fail(err, DEFT_E_FORMAT, "external data: offset or length is no number");
    }
    if (!location) return deft_fail(err, DEFT_E_FORMAT, "external data without a location");
    if (!dir || !dir->path)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "external data needs the model's folder");
    if (length != size)
        return deft_fail(err, DEFT_E_FORMAT, "external data of %llu bytes, the shape wants %zu",
                         (unsigned long long)length, size);
    const int fd = open_below(dir->path, location, err);
    if (fd < 0) return err ? err->status : DEFT_E_IO;
    struct stat st;
    deft_status s = fstat(fd, &st) == 0 ? check_size(dir, &st, offset, size, err)
                                        : deft_fail(err, DEFT_E_IO, "external data: cannot stat");
    uint8_t *data = s == DEFT_OK ? deft_arena_alloc(a, size) : NULL;
    if (s == DEFT_OK && !data) s = deft_fail(err, DEFT_E_SPACE, "no memory for %zu bytes", size);
    for (size_t done = 0; s == DEFT_OK && done < size;) {
        const ssize_t n = pread(fd, data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            s = deft_fail(err, DEFT_E_IO, "external data: cannot read");
        else
            done += (size_t)n;
    }
    (void)close(fd);
    if (s != DEFT_OK) return s;
    dir->left -= size;
    dir->read += size;
    *out = (deft_bytes){data, size};
    return s;
}
