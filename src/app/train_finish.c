/* train_finish.c - the integer policy beside the float one, and what both are worth. */
#include "app/train_finish.h"
#include "deft/app.h"

#include <stdio.h>
#include <string.h>

enum { CALIBRATION_EPISODES = 4 };

static const char *below(deft_arena *a, const char *dir, const char *name)
{
    const char *const path = deft_arena_printf(a, "%s/%s", dir, name);
    return path ? path : "";
}

static deft_status quantize(const deft_loaded *l, const deft_env *env, deft_bytes *image,
                            deft_error *err)
{
    const deft_image_options rows = {.layout = DEFT_IMAGE_ROWS};
    const deft_quant_options int8 = {.scheme = "int8"};
    deft_calibration *c = NULL;
    deft_qmodel *q = NULL;
    deft_env *mine = NULL;
    deft_status s = deft_env_clone(env, &mine, err);
    if (s == DEFT_OK) s = deft_calibration_create(l->model, 0, &c, err);
    if (s == DEFT_OK) s = deft_calibrate_env(l, mine, CALIBRATION_EPISODES, 0, c, err);
    if (s == DEFT_OK) s = deft_quantize(l->model, c, &int8, l->arena, &q, err);
    if (s == DEFT_OK) s = deft_image_write_q(q, &rows, l->arena, image, err);
    deft_calibration_destroy(c);
    deft_env_destroy(mine);
    return s;
}

static deft_status judge(const deft_loaded *l, const deft_env *env, train_judged *out,
                         deft_error *err)
{
    const deft_rollout_config cfg = {.episodes = FINISH_EPISODES, .jobs = 1};
    deft_controller *c = NULL;
    deft_rollout_result r;
    deft_status s = deft_loaded_controller(l, NULL, &c, err);
    if (s == DEFT_OK) s = deft_rollout_run(c, env, &cfg, &r, err);
    if (s == DEFT_OK) {
        *out = (train_judged){r.reward, r.distance_cm, l->file_size};
        deft_rollout_free(&r);
    }
    deft_controller_destroy(c);
    // physics that diverges is no fault of training: there is no figure then, and the run is done
    if (s != DEFT_E_RANGE) return s;
    if (err) *err = (deft_error){DEFT_OK, ""};
    return DEFT_OK;
}

/* Where the policy has no integer form, out->why tells. */
static deft_status write_integer(const deft_loaded *l, const char *path, const deft_env *env,
                                 train_finish *out, deft_error *err)
{
    deft_error why = {DEFT_OK, ""};
    deft_bytes image = {NULL, 0};
    const deft_status s = quantize(l, env, &image, &why);
    if (s == DEFT_OK) return deft_file_write(path, image.data, image.size, err);
    if (s == DEFT_E_SPACE) return deft_fail(err, s, "%s", why.text);
    (void)snprintf(out->why, sizeof out->why, "%.*s", (int)sizeof out->why - 1, why.text);
    return DEFT_OK;
}

deft_status train_finish_policies(const char *dir, const deft_env *env, train_finish *out,
                                  deft_error *err)
{
    const deft_env_spec *const spec = deft_env_get_spec(env);
    const deft_load_options opt = {.env = spec->name, .sensed = spec->n_obs};
    deft_arena *const a = deft_arena_create(0);
    *out = (train_finish){.why = ""};
    if (!a) return deft_fail(err, DEFT_E_SPACE, "no memory for the policy");
    const char *const path = below(a, dir, "policy-int8.deft");
    deft_loaded best, integer;
    deft_status s = deft_load(below(a, dir, "policy.onnx"), &opt, &best, err);
    if (s == DEFT_OK) {
        s = write_integer(&best, path, env, out, err);
        if (s == DEFT_OK) s = judge(&best, env, &out->best, err);
        deft_loaded_free(&best);
    }
    if (s == DEFT_OK && !out->why[0]) {
        s = deft_load(path, &opt, &integer, err);
        if (s == DEFT_OK) s = judge(&integer, env, &out->integer, err);
        deft_loaded_free(&integer);
    }
    deft_arena_destroy(a);
    return s;
}
