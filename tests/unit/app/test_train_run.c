/* Runs that stop at any round, in the warm-up too, and go on end with the same bytes; what is in
 * their folder may be damaged. */
#include "check.h"
#include "deft/train_run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static deft_env *pendulum(void)
{
    deft_error err = {0};
    deft_env *e = NULL;
    const deft_env_config c = {.max_steps = 50};
    CHECK_OK(deft_env_create("pendulum", &c, &e, &err), err);
    return e;
}

static deft_train_setup setup(const char *algo)
{
    deft_error err = {0};
    deft_train_setup s = {.env = "pendulum", .max_steps = 50};
    CHECK_OK(deft_train_defaults(algo, &s.train, &err), err);
    s.train.hidden[0] = s.train.hidden[1] = 16;
    s.train.batch = 16;
    s.train.steps = 600;
    s.train.warmup = 200;
    s.train.envs = 2;
    s.train.round = 10;
    s.train.eval_every = 200;
    s.train.eval_episodes = 2;
    s.train.encoder_layers = 2;
    s.train.encoder_hidden = 5;
    s.train.threads = 1;
    return s;
}

/* Stops at the first round that ends at the step or later. */
static int stop_at(void *user, const deft_train_report *r, const deft_train_setup *s)
{
    const int64_t *const step = user;
    (void)s;
    return *step >= 0 && r->step >= *step;
}

static deft_status run(const char *dir, const deft_train_setup *s, bool resume, int64_t until,
                       deft_error *err)
{
    deft_env *const env = pendulum();
    const deft_train_run_options opt = {.dir = dir,
                                        .resume = resume,
                                        .checkpoint_seconds = 1e6,
                                        .progress = stop_at,
                                        .user = &until};
    const deft_status status = deft_train_run(s, env, &opt, err);
    deft_env_destroy(env);
    return status;
}

static deft_bytes file(deft_arena *a, const char *dir, const char *name)
{
    deft_error err = {0};
    deft_bytes b;
    CHECK_OK(deft_file_read(deft_arena_printf(a, "%s/%s", dir, name), 0, a, &b, &err), err);
    return b;
}

static void same_files(deft_arena *a, const char *x, const char *y)
{
    static const char *const name[] = {"policy.onnx", "policy.deft", "last.onnx", "progress.csv",
                                       "config.json"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        const deft_bytes p = file(a, x, name[i]), q = file(a, y, name[i]);
        CHECK(p.size == q.size && memcmp(p.data, q.data, p.size) == 0, "%s: %s differs", y,
              name[i]);
    }
}

static void test_stops(deft_arena *a, const char *top, const char *algo, bool normalize)
{
    deft_error err = {0};
    deft_train_setup s = setup(algo);
    s.train.normalize = normalize;
    const char *const whole = deft_arena_printf(a, "%s/%s-%d", top, algo, normalize);
    CHECK_OK(run(whole, &s, false, -1, &err), err);
    static const int64_t stops[] = {20, 100, 200, 220, 240, 260, 400, 580};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        const char *const dir = deft_arena_printf(a, "%s-%lld", whole, (long long)stops[i]);
        CHECK(run(dir, &s, false, stops[i], &err) == DEFT_E_CANCELLED, "%s", err.text);
        // once more, so that a checkpoint follows one with its rows inside
        const deft_status again = run(dir, &s, true, stops[i] + 60, &err);
        CHECK(again == (stops[i] + 60 < 600 ? DEFT_E_CANCELLED : DEFT_OK), "%s", err.text);
        CHECK_OK(run(dir, &s, true, -1, &err), err);
        same_files(a, whole, dir);
    }
}

static void overwrite(const char *dir, const char *name, deft_arena *a, deft_bytes b, size_t size)
{
    deft_error err = {0};
    CHECK_OK(deft_file_write(deft_arena_printf(a, "%s/%s", dir, name), b.data, size, &err), err);
}

static void test_damage(deft_arena *a, const char *top)
{
    deft_error err = {0};
    const deft_train_setup s = setup("td3");
    const char *const dir = deft_arena_printf(a, "%s/damage", top);
    CHECK(run(dir, &s, false, 100, &err) == DEFT_E_CANCELLED, "%s", err.text);
    const deft_bytes good = file(a, dir, "checkpoint.bin");
    for (size_t i = 0; i < 400; i++) { // every byte of the header, and some more
        uint8_t *const bad = deft_arena_copy(a, good.data, good.size);
        const size_t at = i < 96 ? i : i * (good.size / 400);
        bad[at] ^= 0x81;
        overwrite(dir, "checkpoint.bin", a, (deft_bytes){bad, good.size}, good.size);
        CHECK(run(dir, &s, true, -1, &err) < 0, "a checkpoint damaged at %zu was taken", at);
    }
    for (size_t n = 0; n < good.size; n += 1 + good.size / 50) {
        overwrite(dir, "checkpoint.bin", a, good, n);
        CHECK(run(dir, &s, true, -1, &err) == DEFT_E_FORMAT, "a cut checkpoint was taken");
    }
    overwrite(dir, "checkpoint.bin", a, good, good.size);
    deft_train_setup other = s;
    other.train.gamma = 0.9;
    CHECK(run(dir, &other, true, -1, &err) == DEFT_E_MISMATCH, "another gamma was taken");
    CHECK(run(dir, &s, false, -1, &err) == DEFT_E_ARG, "a run was overwritten");
    CHECK_OK(run(dir, &s, true, -1, &err), err);
}

/* replay.bin, once rows are in it. */
static void test_damaged_replay(deft_arena *a, const char *top)
{
    deft_error err = {0};
    const deft_train_setup s = setup("td3");
    const char *const dir = deft_arena_printf(a, "%s/damaged-replay", top);
    CHECK(run(dir, &s, false, 400, &err) == DEFT_E_CANCELLED, "%s", err.text);
    const deft_bytes good = file(a, dir, "replay.bin");
    for (size_t i = 0; i < 100; i++) {
        uint8_t *const bad = deft_arena_copy(a, good.data, good.size);
        bad[i * (good.size / 100)] ^= 1;
        overwrite(dir, "replay.bin", a, (deft_bytes){bad, good.size}, good.size);
        CHECK(run(dir, &s, true, -1, &err) == DEFT_E_FORMAT, "damaged experience was taken");
        CHECK(strstr(err.text, "replay.bin: damaged"), "%s", err.text);
    }
    overwrite(dir, "replay.bin", a, good, good.size);
    CHECK_OK(run(dir, &s, true, -1, &err), err);
}

/* What others have there stays; so does what a failed beginning would have made. */
static void test_folders(deft_arena *a, const char *top)
{
    deft_error err = {0};
    deft_train_setup s = setup("td3");
    const char *const dir = deft_arena_printf(a, "%s/folder", top);
    s.train.gamma = 2;
    CHECK(run(dir, &s, false, -1, &err) == DEFT_E_ARG && strstr(err.text, "gamma: from 0 to 1"),
          "%s", err.text);
    CHECK(access(dir, F_OK) != 0, "a folder of nothing");
    s.train.gamma = 0.9;
    CHECK_OK(deft_folder_make(dir, &err), err);
    const char *const mine = deft_arena_printf(a, "%s/policy.onnx", dir);
    CHECK_OK(deft_file_write(mine, "mine", 4, &err), err);
    CHECK(run(dir, &s, false, -1, &err) == DEFT_E_ARG && strstr(err.text, "policy.onnx"), "%s",
          err.text);
    CHECK(file(a, dir, "policy.onnx").size == 4, "overwritten");
    CHECK(unlink(mine) == 0, "unlink");
    const char *const backup = deft_arena_printf(a, "%s/policy.onnx.backup", dir);
    CHECK_OK(deft_file_write(backup, "mine", 4, &err), err);
    CHECK_OK(run(dir, &s, false, -1, &err), err);
    CHECK(access(backup, F_OK) == 0, "the user's file is gone");
    CHECK(unlink(deft_arena_printf(a, "%s/checkpoint.bin", dir)) == 0, "unlink");
    CHECK(run(dir, &s, true, -1, &err) == DEFT_E_FORMAT && strstr(err.text, "checkpoint.bin"),
          "trained again: %s", err.text);
    const char *const many = deft_arena_printf(a, "%s/many", top);
    CHECK_OK(deft_folder_make(deft_arena_printf(a, "%s/seed-1", many), &err), err);
    overwrite(many, "seed-1/config.json", a, (deft_bytes){(const uint8_t *)"{}", 2}, 2);
    CHECK(run(many, &s, false, -1, &err) == DEFT_E_ARG && strstr(err.text, "many runs"), "%s",
          err.text);
}

/* One run in the middle of another one of the same folder. */
static int run_again(void *user, const deft_train_report *r, const deft_train_setup *s)
{
    const char *const dir = user;
    deft_error err = {0};
    if (r->step == 400) {
        CHECK(run(dir, s, true, -1, &err) == DEFT_E_ARG && strstr(err.text, "another process"),
              "two at once: %s", err.text);
    }
    return 0;
}

static void test_lock(deft_arena *a, const char *top)
{
    deft_error err = {0};
    const deft_train_setup s = setup("td3");
    char *const dir = deft_arena_printf(a, "%s/lock", top);
    deft_env *const env = pendulum();
    const deft_train_run_options opt = {.dir = dir, .progress = run_again, .user = dir};
    CHECK_OK(deft_train_run(&s, env, &opt, &err), err);
    deft_env_destroy(env);
}

static void test_setup(deft_arena *a)
{
    deft_error err = {0};
    deft_train_setup s = setup("ra-sac"), t;
    s.vary = "noise=0.1";
    deft_bytes json;
    CHECK_OK(deft_train_setup_write(&s, a, &json, &err), err);
    CHECK_OK(deft_train_setup_read(json, "x", a, &t, &err), err);
    CHECK(!deft_train_setup_difference(&s, &t), "%s differs", deft_train_setup_difference(&s, &t));
    CHECK(!strstr((const char *)json.data, "target_speed"), "a setting that says nothing");
    t.target_speed = 1.2;
    CHECK_OK(deft_train_setup_write(&t, a, &json, &err), err);
    CHECK_OK(deft_train_setup_read(json, "x", a, &s, &err), err);
    CHECK(s.target_speed == 1.2 && !deft_train_setup_difference(&s, &t), "target speed");
    t.target_speed = s.target_speed = 0;
    CHECK(!strstr((const char *)json.data, "eval_reward") &&
              !strstr((const char *)json.data, "best_distance"),
          "settings that say nothing");
    t.train.eval_reward = "paper";
    t.train.best_distance = 5;
    CHECK_OK(deft_train_setup_write(&t, a, &json, &err), err);
    CHECK_OK(deft_train_setup_read(json, "x", a, &s, &err), err);
    CHECK(s.train.best_distance == 5 && !deft_train_setup_difference(&s, &t), "evaluations");
    t.train.best_distance = 6;
    CHECK(strcmp(deft_train_setup_difference(&s, &t), "best_distance") == 0, "best_distance");
    t.train.eval_reward = s.train.eval_reward = NULL;
    t.train.best_distance = s.train.best_distance = 0;
    t.train.threads++;
    CHECK(!deft_train_setup_difference(&s, &t), "threads count");
    t.train.hidden[1]++;
    CHECK(strcmp(deft_train_setup_difference(&s, &t), "hidden") == 0, "widths do not count");
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"[]", "not an object"},
        {"{", "x:"},
        {"{\"seed\": 1, \"seed\": 2}", "duplicate"},
        {"{\"algo\": 3}", "algo"},
        {"{\"hidden\": [0]}", "hidden"},
        {"{\"batch\": 1.5}", "batch"},
        {"{\"batch\": 3000000000}", "batch"},
        {"{\"normalize\": 1}", "'normalize' is not true or false"},
        {"{\"env\": null}", "'env' is not a text"},
        {"{\"seed\": -1}", "'seed'"},
        {"{\"hidden\": [65535]}", "from 1 to 4096"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const deft_bytes b = {(const uint8_t *)bad[i].json, strlen(bad[i].json)};
        err = (deft_error){0};
        CHECK(deft_train_setup_merge(b, "x", a, &t, &err) < 0 && strstr(err.text, bad[i].says),
              "%s: %s", bad[i].json, err.text);
    }
    static const char some[] = "{\"encoder\": \"lstm\", \"algo\": \"r-td3\", \"tau\": 0.01}";
    CHECK_OK(
        deft_train_setup_merge((deft_bytes){(const uint8_t *)some, strlen(some)}, "x", a, &s, &err),
        err);
    CHECK(strcmp(s.train.encoder, "lstm") == 0 && strcmp(s.train.algo, "td3") == 0 &&
              !s.train.previous_action && s.train.policy_delay == 2 && s.train.tau == 0.01 &&
              s.train.batch == 16,
          "merged otherwise");
}

int main(void)
{
    char top[] = "/tmp/deft-train-XXXXXX", command[64];
    deft_arena *const a = deft_arena_create(0);
    CHECK(a && mkdtemp(top), "no folder");
    test_stops(a, top, "td3", false);
    test_stops(a, top, "ra-sac", true);
    test_damage(a, top);
    test_damaged_replay(a, top);
    test_folders(a, top);
    test_lock(a, top);
    test_setup(a);
    (void)snprintf(command, sizeof command, "rm -r %s", top);
    CHECK(system(command) == 0, "%s stays", top);
    deft_arena_destroy(a);
    return check_report();
}
