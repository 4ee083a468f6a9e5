/* scene_files.c - the files that a scene names besides XML: regular ones, and what they unpack to.
 */
#include "env/scene_check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BYTES = 64 << 20, HEAD = 24 };

const char *scene_join(deft_arena *a, const char *dir, const char *name)
{
    if (name[0] == '/' || !dir[0]) return deft_arena_strndup(a, name, PATH_MAX);
    const size_t n = strlen(dir);
    return deft_arena_printf(a, "%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

const char *scene_folder(deft_arena *a, const char *path)
{
    const char *const slash = strrchr(path, '/');
    return deft_arena_strndup(a, path, slash ? (size_t)(slash + 1 - path) : 0);
}

static deft_status no_memory(const scene_assets *s)
{
    return deft_fail(s->err, DEFT_E_SPACE, "no memory to check the scene");
}

deft_status scene_add_samples(scene_assets *s, double n, const char *at)
{
    s->samples += n;
    if (s->samples <= SCENE_MAX_SAMPLES) return DEFT_OK;
    return deft_fail(
        s->err, DEFT_E_RANGE,
        "%s: height fields of %.3g samples, at most %d in all: use fewer rows and columns", at,
        s->samples, SCENE_MAX_SAMPLES);
}

deft_status scene_add_pixels(scene_assets *s, double n, const char *at)
{
    s->pixels += n;
    if (s->pixels <= SCENE_MAX_PIXELS) return DEFT_OK;
    return deft_fail(s->err, DEFT_E_RANGE, "%s: textures of %.3g pixels, at most %d in all", at,
                     s->pixels, SCENE_MAX_PIXELS);
}

static uint32_t big(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t little(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Rows times columns that the file's own header claims: a PNG unpacks to a thousand times its
 * bytes, and MuJoCo's own formats begin with two numbers. */
static deft_status add_claim(scene_assets *s, const scene_asset *x, int fd)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    uint8_t head[HEAD] = {0};
    const ssize_t n = pread(fd, head, sizeof head, 0);
    if (x->kind == SCENE_MESH || n < 8) return DEFT_OK;
    const bool packed = memcmp(head, png, sizeof png) == 0;
    const double claim = packed ? (double)big(head + 16) * (double)big(head + 20)
                                : (double)little(head) * (double)little(head + 4);
    return x->kind == SCENE_HFIELD ? scene_add_samples(s, claim, x->at)
                                   : scene_add_pixels(s, claim, x->at);
}

/* Files that an asset was found to be: one that several folders lead to counts once. */
enum { MAX_PLACES = 4 * (SCENE_MAX_DIRS + 1) };
typedef struct places {
    int n;
    dev_t dev[MAX_PLACES];
    ino_t ino[MAX_PLACES];
} places;

static bool is_new(places *p, const struct stat *st)
{
    for (int k = 0; k < p->n; k++) {
        if (p->dev[k] == st->st_dev && p->ino[k] == st->st_ino) return false;
    }
    p->dev[p->n] = st->st_dev;
    p->ino[p->n++] = st->st_ino;
    return true;
}

/* One place where MuJoCo may look. */
static deft_status check_place(scene_assets *s, const scene_asset *x, const char *path, places *p)
{
    char name[256];
    struct stat st;
    if (!path) return no_memory(s);
    (void)deft_escape(name, sizeof name, path, PATH_MAX);
    if (stat(path, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return DEFT_OK;
        return deft_fail(s->err, DEFT_E_IO, "%s: cannot open '%s'", x->at, name);
    }
    if (!S_ISREG(st.st_mode)) {
        return deft_fail(s->err, DEFT_E_IO, "%s: '%s' is not a regular file", x->at, name);
    }
    if (!is_new(p, &st)) return DEFT_OK;
    if ((uint64_t)st.st_size > MAX_BYTES - s->bytes) {
        return deft_fail(s->err, DEFT_E_SPACE, "%s: '%s': the scene's files hold more than %d MiB",
                         x->at, name, MAX_BYTES >> 20);
    }
    s->bytes += (uint64_t)st.st_size;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return deft_fail(s->err, DEFT_E_IO, "%s: cannot open '%s'", x->at, name);
    const deft_status e = add_claim(s, x, fd);
    (void)close(fd);
    return e;
}

/* Versions of MuJoCo differ in where they look: all places are checked, but each once. */
static deft_status check_asset(scene_assets *s, const scene_asset *x)
{
    const char *const slash = strrchr(x->name, '/');
    const char *const names[2] = {x->name, slash ? slash + 1 : NULL}; // strippath
    const char *const folders[2] = {s->folder, strcmp(s->folder, x->from) != 0 ? x->from : NULL};
    places found = {.n = 0};
    const int n_dir = x->name[0] == '/' ? 0 : s->n_dir;
    deft_status e = DEFT_OK;
    for (int n = 0; n < 2 && names[n]; n++) {
        for (int f = 0; f < 2 && folders[f]; f++) {
            for (int d = -1; e == DEFT_OK && d < n_dir; d++) {
                const char *const below = d < 0 ? x->name + strlen(x->name) : s->dir[d];
                const char *const dir = scene_join(s->a, folders[f], below);
                e = check_place(s, x, dir ? scene_join(s->a, dir, names[n]) : NULL, &found);
            }
        }
    }
    if (e != DEFT_OK || found.n) return e;
    char name[256];
    return deft_fail(s->err, DEFT_E_IO, "%s: there is no file '%s'", x->at,
                     deft_escape(name, sizeof name, x->name, PATH_MAX));
}

deft_status scene_assets_check(scene_assets *s)
{
    deft_status e = DEFT_OK;
    for (int k = 0; e == DEFT_OK && k < s->n_asset; k++) e = check_asset(s, &s->asset[k]);
    return e;
}
