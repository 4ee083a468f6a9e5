/* scene_check.h - what a MuJoCo scene may cost, settled before MuJoCo reads it: it opens whatever a
 * scene names and allocates whatever a scene asks for. */
#ifndef DEFT_ENV_SCENE_CHECK_H
#define DEFT_ENV_SCENE_CHECK_H

#include "deft/base.h"

/* The scene and everything it includes: well-formed XML of bounded size, depth and number; every
 * file that it names (included, mesh, height field, texture, skin) a regular file of bounded size;
 * every size that it asks for (height fields, textures, composites, buffers) bounded.
 * DEFT_E_IO, DEFT_E_FORMAT, DEFT_E_RANGE, DEFT_E_SPACE, naming file and line. Opens no file that is
 * not a regular one. */
deft_status scene_check(const char *path, deft_error *err);

/* --- between scene_check.c and scene_files.c ------------------------------------------------- */

enum { SCENE_MAX_ASSETS = 1024, SCENE_MAX_DIRS = 16 };

typedef enum scene_kind { SCENE_MESH = 0, SCENE_HFIELD, SCENE_TEXTURE } scene_kind;

/* A file that the scene names, as it names it. */
typedef struct scene_asset {
    scene_kind kind;
    const char *name, *from; // from: the folder of the XML that names it
    const char *at;          // "scene.xml:12", for messages
} scene_asset;

typedef struct scene_assets {
    deft_arena *a;
    const char *folder; // of the scene
    scene_asset asset[SCENE_MAX_ASSETS];
    int n_asset;
    const char *dir[SCENE_MAX_DIRS]; // of compiler elements, anywhere
    int n_dir;
    double samples, pixels; // of height fields and textures, so far
    uint64_t bytes;         // of files, so far
    deft_error *err;
} scene_assets;

enum { SCENE_MAX_SAMPLES = 1 << 21, SCENE_MAX_PIXELS = 1 << 22 };

/* "dir/name", or name alone where that is absolute or dir is empty; NULL if memory ran out. */
const char *scene_join(deft_arena *a, const char *dir, const char *name);
const char *scene_folder(deft_arena *a, const char *path);
deft_status scene_assets_check(scene_assets *s);
/* Adds nrow * ncol samples of a height field, or pixels of a texture. */
deft_status scene_add_samples(scene_assets *s, double n, const char *at);
deft_status scene_add_pixels(scene_assets *s, double n, const char *at);

#endif
