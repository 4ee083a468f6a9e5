/* normaliser_beside.c - the file of --normalizer; one that is beside a policy is named, not taken.
 */
#include "app/normaliser.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_ENTRIES = 10000 }; // of the folder that are looked at

/* "vecnormalize.pkl", "vec_normalize.pkl", "ppo_VecNorm_3.pkl". */
static bool is_normaliser(const char *name)
{
    static const char tail[] = ".pkl";
    const size_t n = strlen(name);
    bool found = false;
    for (const char *s = name; *s && !found; s++)
        found = strncasecmp(s, "vecnorm", 7) == 0 || strncasecmp(s, "vec_norm", 8) == 0;
    return found && n > sizeof tail - 1 && strcmp(name + n - (sizeof tail - 1), tail) == 0;
}

/* The first such name in the folder of path, "" where there is none. */
static const char *beside(const char *path, deft_arena *a)
{
    const char *const slash = strrchr(path, '/');
    const char *const folder =
        slash ? deft_arena_strndup(a, path, (size_t)(slash - path) + 1) : "./";
    DIR *const d = folder ? opendir(folder) : NULL;
    const char *best = "";
    for (int k = 0; d && k < MAX_ENTRIES; k++) {
        const struct dirent *const e = readdir(d);
        if (!e) break;
        if (!is_normaliser(e->d_name) || (*best && strcmp(e->d_name, best) > 0)) continue;
        const char *const copy = deft_arena_strndup(a, e->d_name, 256);
        if (copy) best = copy;
    }
    if (d) (void)closedir(d);
    if (!*best) return "";
    const char *const full = deft_arena_printf(a, "%s%s", slash ? folder : "", best);
    return full ? full : "";
}

static deft_status note(deft_loaded *l, deft_error *err)
{
    const char *const found = beside(l->path, l->arena);
    if (!*found) return DEFT_OK;
    l->note = deft_arena_printf(l->arena,
                                "'%s' is beside it and is not used; if the policy was trained with "
                                "it: --normalizer %s (--normalizer none: it was not)",
                                found, found);
    return l->note ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
}

deft_status load_normaliser(deft_loaded *l, const deft_load_options *opt, deft_assemble_options *to,
                            deft_error *err)
{
    deft_bytes bytes;
    deft_normaliser *n = NULL;
    if (!opt->normaliser) return note(l, err);
    if (strcmp(opt->normaliser, "none") == 0) return DEFT_OK;
    deft_status s = deft_file_read(opt->normaliser, 0, l->arena, &bytes, err);
    if (s == DEFT_OK) s = deft_normaliser_read(bytes, opt->normaliser, l->arena, &n, err);
    to->normaliser = n;
    return s;
}
