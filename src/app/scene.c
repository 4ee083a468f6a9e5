/* scene.c - which MJCF an environment's --scene means. */
#include "deft/app.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef DEFT_MODELS_DIR
#define DEFT_MODELS_DIR "models"
#endif
#ifndef DEFT_INSTALLED_MODELS_DIR
#define DEFT_INSTALLED_MODELS_DIR "/usr/local/share/deft/models"
#endif

#ifndef DEFT_MODELS_FROM_PROGRAM
#define DEFT_MODELS_FROM_PROGRAM "../share/deft/models"
#endif

static const char *existing(deft_arena *a, const char *dir, const char *name)
{
    const char *const path = dir ? deft_arena_printf(a, "%s/%s", dir, name) : NULL;
    return path && access(path, R_OK) == 0 ? path : NULL;
}

/* Where the models are of a program that was installed, wherever its folder was moved to. NULL: not
 * to be found out. */
static const char *beside_program(deft_arena *a)
{
    char program[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) return NULL;
    program[n] = '\0';
    char *const slash = strrchr(program, '/');
    if (!slash) return NULL;
    *slash = '\0';
    return deft_arena_printf(a, "%s/" DEFT_MODELS_FROM_PROGRAM, program);
}

enum { PLACES = 5 };

/* The folders that may hold our own robots, in the order in which they are looked into; NULL: not
 * known. */
static void list_places(deft_arena *a, const char *place[PLACES])
{
    place[0] = getenv("DEFT_MODELS_DIR");
    place[1] = beside_program(a);
    place[2] = DEFT_MODELS_DIR; // of the sources
    place[3] = DEFT_INSTALLED_MODELS_DIR;
    place[4] = "models";
}

static const char *shipped(deft_arena *a, const char *name)
{
    const char *place[PLACES], *path = NULL;
    const char *const file = deft_arena_printf(a, "quaid/%s.xml", name);
    list_places(a, place);
    for (int i = 0; file && !path && i < PLACES; i++) path = existing(a, place[i], file);
    return path;
}

/* The scenes of the folders, with a hint if one of them was meant. */
static const char *list_scenes(deft_arena *a, deft_nearest *near)
{
    const char *place[PLACES], *all = "";
    list_places(a, place);
    for (int i = 0; i < PLACES && !*all; i++) {
        const char *const folder = place[i] ? deft_arena_printf(a, "%s/quaid", place[i]) : NULL;
        DIR *const d = folder ? opendir(folder) : NULL;
        for (const struct dirent *e; d && (e = readdir(d));) {
            const char *const dot = strrchr(e->d_name, '.');
            const size_t n = dot ? (size_t)(dot - e->d_name) : 0;
            if (n == 0 || n > 40 || strcmp(dot, ".xml") != 0) continue;
            const char *const name = deft_arena_strndup(a, e->d_name, n);
            const char *const more =
                name ? deft_arena_printf(a, "%s%s%s", all, *all ? ", " : "", name) : NULL;
            if (!more) break;
            all = more;
            deft_nearest_offer(near, name);
        }
        if (d) (void)closedir(d);
    }
    return all;
}

static const char *list_folders(deft_arena *a)
{
    const char *place[PLACES], *all = "";
    list_places(a, place);
    for (int i = 0; i < PLACES; i++) {
        if (!place[i]) continue;
        const char *const more = deft_arena_printf(a, "%s%s%s", all, *all ? ", " : "", place[i]);
        if (more) all = more;
    }
    return all;
}

static deft_status not_found(const char *scene, deft_arena *a, deft_error *err)
{
    char shown[128], hint[DEFT_HINT], folders[300];
    deft_nearest near;
    deft_nearest_begin(&near, scene ? scene : "");
    const char *const scenes = list_scenes(a, &near);
    (void)deft_escape(folders, sizeof folders, list_folders(a), PATH_MAX);
    if (!scene) {
        return deft_fail(err, DEFT_E_ARG,
                         "no robot to run it on: --scene FILE.xml names a MuJoCo model with the "
                         "quaid's joints; Deft's own are not in %s",
                         folders);
    }
    (void)deft_escape(shown, sizeof shown, scene, PATH_MAX);
    if (!*scenes) {
        return deft_fail(err, DEFT_E_ARG, "there is no scene '%s', neither a file nor one in %s",
                         shown, folders);
    }
    return deft_fail(err, DEFT_E_ARG,
                     "there is no scene '%s' (neither a file nor one of models/quaid); there are "
                     "%s%s",
                     shown, scenes, deft_nearest_hint(&near, hint));
}

deft_status deft_scene_find(const char *env, const char *scene, deft_arena *a, const char **out,
                            deft_error *err)
{
    *out = scene;
    if (strcmp(env, "quaid") != 0 || (scene && access(scene, F_OK) == 0)) return DEFT_OK;
    if (scene && strpbrk(scene, "/.")) return DEFT_OK; // a path: the environment says what is wrong
    *out = shipped(a, scene ? scene : "obstacle");
    if (!*out && (!scene || strcmp(scene, "obstacle") == 0)) {
        *out = existing(a, getenv("DEFT_REFERENCE_DIR"), "quaid/v2/quaid_v2.xml");
    }
    if (!*out && scene && strcmp(scene, "ramp") == 0) {
        *out = existing(a, getenv("DEFT_REFERENCE_DIR"), "quaid/v2/quaid_ramp.xml");
    }
    return *out ? DEFT_OK : not_found(scene, a, err);
}
