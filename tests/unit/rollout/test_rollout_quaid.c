/* The paper's policies on the paper's robot, few episodes: rewards, whatever the number of jobs,
 * the original graph in the evaluator, and the log. Skipped without the reference. */
#include "check.h"
#include "deft/emit.h"
#include "deft/formats.h"
#include "deft/rollout.h"

#include <math.h>
#include <string.h>

static const char td3[] = "models/onnx/act_net_QuaidSIM-v4_TD3_+225.827_750000.onnx";
static const char ra_td3[] = "models/onnx/aug_act_net_QuaidSIM-v4_RA-TD3_+614.464_500000.onnx";

static deft_graph *read_graph(const char *name, deft_arena *a)
{
    char path[512];
    deft_graph *g = NULL;
    deft_error err = {0};
    if (!check_reference(path, sizeof path, name)) CHECK_SKIP("no reference policies");
    CHECK_OK(deft_onnx_read_file(path, a, &g, &err), err);
    return g;
}

static deft_controller *image_controller(deft_graph *g, bool rewire)
{
    const deft_understand_options opt = {.rewire_cascade = rewire};
    deft_model *m = NULL;
    deft_bytes image = {0};
    deft_controller *c = NULL;
    deft_error err = {0};
    CHECK_OK(deft_understand(g, &opt, &m, &err), err);
    if (m) CHECK_OK(deft_model_set_contract(m, "quaid-normalised", &err), err);
    if (m) CHECK_OK(deft_image_write(m, g->arena, &image, &err), err);
    if (image.data) CHECK_OK(deft_controller_from_image(image, NULL, &c, &err), err);
    return c;
}

static deft_env *robot(int32_t max_steps)
{
    char scene[512];
    deft_env *env = NULL;
    deft_error err = {0};
    if (!check_reference(scene, sizeof scene, "quaid/v2/quaid_v2.xml")) CHECK_SKIP("no robot");
    const deft_env_config cfg = {.scene = scene, .max_steps = max_steps};
    const deft_status s = deft_env_create("quaid", &cfg, &env, &err);
    if (s == DEFT_E_UNSUPPORTED) CHECK_SKIP("built without MuJoCo");
    CHECK_OK(s, err);
    return env;
}

static deft_rollout_result run(const deft_controller *c, const deft_env *env,
                               deft_rollout_config cfg)
{
    deft_rollout_result r;
    deft_error err = {0};
    CHECK_OK(deft_rollout_run(c, env, &cfg, &r, &err), err);
    CHECK(r.n_episode == cfg.episodes, "%d episodes", r.n_episode);
    return r;
}

static void check_rewards(deft_graph *g, bool rewire, double lo, double hi)
{
    deft_env *env = robot(0);
    deft_controller *c = image_controller(g, rewire);
    if (!env || !c) return;
    deft_rollout_result r = run(c, env, (deft_rollout_config){.episodes = 2, .jobs = 2});
    for (int32_t k = 0; k < r.n_episode; k++) {
        const deft_episode *e = &r.episode[k];
        CHECK(e->reward > lo && e->reward < hi, "episode %d: reward %g", k, e->reward);
        CHECK(e->steps == 500 && !e->terminated, "%d steps", e->steps);
        CHECK(e->distance_cm > 20 && e->heading_error_rad < 0.5 && e->torque > 0 &&
                  e->current_a > 0,
              "%g cm, %g rad, %g, %g A", e->distance_cm, e->heading_error_rad, e->torque,
              e->current_a);
    }
    CHECK(r.physics_seconds > 0.5 * r.wall_seconds, "%g of %g s", r.physics_seconds,
          r.wall_seconds);
    deft_rollout_free(&r);
    deft_controller_destroy(c);
    deft_env_destroy(env);
}

/* Short episodes: the image with 1, 2 and 3 jobs; the graph, which is fed the previous action. */
static void check_short(deft_graph *g)
{
    deft_env *env = robot(25);
    deft_controller *image = image_controller(g, false), *graph = NULL;
    deft_error err = {0};
    CHECK_OK(deft_controller_from_graph(g, &graph, &err), err);
    if (!env || !image || !graph) return;
    deft_rollout_result one = run(image, env, (deft_rollout_config){.episodes = 4, .jobs = 1});
    for (int32_t jobs = 2; jobs <= 3; jobs++) {
        deft_rollout_result r = run(image, env, (deft_rollout_config){.episodes = 4, .jobs = jobs});
        for (int32_t k = 0; k < r.n_episode; k++)
            CHECK(r.episode[k].reward == one.episode[k].reward, "jobs %d, episode %d", jobs, k);
        deft_rollout_free(&r);
    }
    deft_rollout_result r = run(graph, env, (deft_rollout_config){.episodes = 2, .jobs = 2});
    for (int32_t k = 0; k < r.n_episode; k++)
        CHECK(fabs(r.episode[k].reward - one.episode[k].reward) < 0.5, "episode %d: %g, graph %g",
              k, one.episode[k].reward, r.episode[k].reward);
    deft_rollout_free(&r);
    deft_rollout_free(&one);
    deft_controller_destroy(image);
    deft_controller_destroy(graph);
    deft_env_destroy(env);
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_env_destroy(robot(0)); // or skip
    deft_graph *plain = read_graph(td3, a), *recurrent = read_graph(ra_td3, a);
    if (plain && recurrent) {
        check_short(recurrent);
        check_rewards(plain, false, 190, 270);
        check_rewards(recurrent, true, 570, 660);
    }
    deft_arena_destroy(a);
    return check_report();
}
