/* scene.c - which MJCF an environment's --scene means. */
#include "deft/app.h"

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

static const char *existing(deft_arena *a, const char *dir, const char *name)
{
    const char *const path = dir ? deft_arena_printf(a, "%s/%s", dir, name) : NULL;
    return path && access(path, R_OK) == 0 ? path : NULL;
}

/* The folder with our own robots: $DEFT_MODELS_DIR, where the program was built, where it is
 * installed, here. */
static const char *shipped(deft_arena *a, const char *name)
{
    const char *const file = deft_arena_printf(a, "quaid/%s.xml", name);
    if (!file) return NULL;
    const char *path = existing(a, getenv("DEFT_MODELS_DIR"), file);
    if (!path) path = existing(a, DEFT_MODELS_DIR, file);
    if (!path) path = existing(a, DEFT_INSTALLED_MODELS_DIR, file);
    return path ? path : existing(a, "models", file);
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
    if (*out) return DEFT_OK;
    if (!scene) {
        return deft_fail(err, DEFT_E_ARG,
                         "no robot to run it on: --scene FILE.xml names a MuJoCo model with the "
                         "quaid's joints");
    }
    char shown[128];
    return deft_fail(err, DEFT_E_ARG,
                     "there is no scene '%s' (neither a file nor one of models/quaid)",
                     deft_escape(shown, sizeof shown, scene, PATH_MAX));
}
