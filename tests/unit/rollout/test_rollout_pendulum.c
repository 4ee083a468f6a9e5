/* The policies that Deft ships, as graphs and as images, on the pendulum they were trained on. */
#include "check.h"
#include "deft/emit.h"
#include "deft/formats.h"
#include "deft/rollout.h"

#include <math.h>
#include <sqlite3.h>
#include <unistd.h>

enum { EPISODES = 6 };

static deft_controller *graph_controller(const char *name, deft_arena *a)
{
    char path[512];
    deft_graph *g = NULL;
    deft_controller *c = NULL;
    deft_error err = {0};
    CHECK_OK(deft_onnx_read_file(check_source(path, sizeof path, name), a, &g, &err), err);
    if (g) CHECK_OK(deft_controller_from_graph(g, &c, &err), err);
    return c;
}

static deft_controller *image_controller(const char *name, deft_arena *a)
{
    char path[512];
    deft_graph *g = NULL;
    deft_model *m = NULL;
    deft_bytes image = {0};
    deft_controller *c = NULL;
    deft_error err = {0};
    const deft_understand_options opt = {0};
    CHECK_OK(deft_onnx_read_file(check_source(path, sizeof path, name), a, &g, &err), err);
    if (g) CHECK_OK(deft_understand(g, &opt, &m, &err), err);
    if (m && m->contract.n_obs == 4) CHECK_OK(deft_model_feed_previous(m, true, &err), err);
    if (m) CHECK_OK(deft_model_set_contract(m, "pendulum", &err), err);
    if (m) CHECK_OK(deft_image_write(m, a, &image, &err), err);
    if (image.data) CHECK_OK(deft_controller_from_image(image, NULL, &c, &err), err);
    return c;
}

static deft_rollout_result run(const deft_controller *c, const deft_env *env, int32_t jobs,
                               const char *log)
{
    const deft_rollout_config cfg = {.episodes = EPISODES, .seed = 2, .jobs = jobs, .log = log};
    deft_rollout_result r;
    deft_error err = {0};
    CHECK_OK(deft_rollout_run(c, env, &cfg, &r, &err), err);
    CHECK(r.n_episode == EPISODES && r.steps == 200 * (int64_t)EPISODES, "%lld",
          (long long)r.steps);
    return r;
}

static void check_policy(const char *name, const deft_env *env, deft_arena *a)
{
    deft_controller *image = image_controller(name, a), *graph = graph_controller(name, a);
    if (!image || !graph) return;
    deft_rollout_result one = run(image, env, 1, NULL);
    // untrained policies are below -1000
    CHECK(one.reward.mean > -260 && one.reward.mean < -50, "%s: reward %g", name, one.reward.mean);
    CHECK(one.distance_cm.n == 0 && one.torque.n == EPISODES, "metrics");
    for (int32_t jobs = 2; jobs <= 3; jobs++) {
        deft_rollout_result r = run(image, env, jobs, NULL);
        for (int32_t k = 0; k < r.n_episode; k++)
            CHECK(r.episode[k].reward == one.episode[k].reward &&
                      r.episode[k].torque == one.episode[k].torque,
                  "%s: jobs %d, episode %d", name, jobs, k);
        CHECK(r.reward.ci95 == one.reward.ci95, "jobs %d", jobs);
        deft_rollout_free(&r);
    }
    if (one.n_episode < EPISODES) return;
    // the evaluator rounds its own tanh: the same swing, not the same bits
    deft_rollout_result g = run(graph, env, 2, NULL);
    for (int32_t k = 0; k < g.n_episode; k++)
        CHECK(fabs(g.episode[k].reward - one.episode[k].reward) < 0.01, "%s: %g, as a graph %g",
              name, one.episode[k].reward, g.episode[k].reward);
    deft_rollout_free(&g);
    deft_rollout_free(&one);
    deft_controller_destroy(image);
    deft_controller_destroy(graph);
}

static int count(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *q = NULL;
    int n = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        n = sqlite3_column_int(q, 0);
    (void)sqlite3_finalize(q);
    return n;
}

/* The robot's columns that a pendulum does not have are NULL. */
static void check_log(const deft_env *env, deft_arena *a)
{
    char path[] = "/tmp/deft-test-pendulum-XXXXXX";
    const int fd = mkstemp(path);
    deft_controller *c = image_controller("models/pendulum/td3.onnx", a);
    sqlite3 *db = NULL;
    if (fd < 0 || !c) return;
    (void)close(fd);
    deft_rollout_result r = run(c, env, 2, path);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK, "%s", path);
    CHECK(count(db, "SELECT count(*) FROM episodes") == EPISODES, "episodes");
    CHECK(count(db, "SELECT count(yaw) FROM observations") == EPISODES * 200, "angles");
    CHECK(count(db, "SELECT count(servo0) FROM actions") == EPISODES * 200, "actions");
    CHECK(count(db, "SELECT count(servo1) FROM actions") == 0, "actions it does not have");
    CHECK(count(db, "SELECT count(voltage) + count(acc_x) + count(distance) FROM observations") ==
              0,
          "observations it does not have");
    (void)sqlite3_close(db);
    (void)unlink(path);
    deft_rollout_free(&r);
    deft_controller_destroy(c);
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_env *env = NULL;
    deft_error err = {0};
    const deft_env_config cfg = {0};
    CHECK_OK(deft_env_create("pendulum", &cfg, &env, &err), err);
    if (env) {
        check_policy("models/pendulum/td3.onnx", env, a);
        check_policy("models/pendulum/ra-td3.onnx", env, a);
        check_log(env, a);
    }
    deft_env_destroy(env);
    deft_arena_destroy(a);
    return check_report();
}
