/* test_recording.c - recordings, differences, scenes. */
#include "check.h"
#include "deft/app.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static const char *write_text(const char *name, const char *text, deft_arena *a)
{
    const char *const dir = getenv("TMPDIR");
    const char *const path =
        deft_arena_printf(a, "%s/deft-%ld-%s", dir ? dir : "/tmp", (long)getpid(), name);
    deft_error err = {DEFT_OK, ""};
    CHECK_OK(deft_file_write(path, text, strlen(text), &err), err);
    return path;
}

static deft_status read_text(const char *text, deft_arena *a, deft_recording *out, deft_error *err)
{
    const char *const path = write_text("recording.csv", text, a);
    const deft_status s = deft_recording_read(path, a, out, err);
    (void)unlink(path);
    return s;
}

static void test_columns(deft_arena *a)
{
    deft_recording r;
    deft_error err = {DEFT_OK, ""};
    CHECK_OK(read_text("step,obs1,obs0,act0,reward,h2_1,h2_0\n0,2,1,3,9,5,4\n1,20,10,,9,50,40\n", a,
                       &r, &err),
             err);
    CHECK(r.n_row == 2 && r.n_obs == 2 && r.n_act == 1 && r.n_hidden == 2, "%d %d %d %d", r.n_row,
          r.n_obs, r.n_act, r.n_hidden);
    CHECK(r.obs[0] == 1 && r.obs[1] == 2 && r.obs[2] == 10 && r.obs[3] == 20, "order of columns");
    CHECK(r.act[0] == 3 && isnan(r.act[1]), "%g %g", (double)r.act[0], (double)r.act[1]);
    CHECK(r.hidden[0] == 4 && r.hidden[3] == 50, "hidden");

    CHECK_OK(read_text("time,yaw,pitch,act0\n0,1,2,3\n", a, &r, &err), err);
    CHECK(r.n_obs == 2 && r.obs[0] == 1 && r.obs[1] == 2 && r.n_act == 1, "named columns");

    static const char *const bad[] = {
        "obs0,obs2\n1,2\n", "obs0,obs0\n1,2\n", "obs0\n", "obs0\n1\nnan\n",
        "obs0\n1e999\n",    "step,act0\n1,2\n", "",       "obs0,act1\n1,2\n",
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        err = (deft_error){DEFT_OK, ""};
        CHECK(read_text(bad[k], a, &r, &err) < 0, "case %zu", k);
        CHECK(strstr(err.text, "recording.csv"), "case %zu: '%s' does not name the file", k,
              err.text);
    }
}

static void test_fit(deft_arena *a)
{
    static const char *names[] = {"speed", "height"}, *acts[] = {"torque"};
    const deft_contract c = {
        .name = "own", .n_obs = 2, .n_act = 1, .obs_name = names, .act_name = acts};
    deft_recording r;
    deft_error err = {DEFT_OK, ""};
    CHECK_OK(read_text("height,torque,step,speed\n1,2,0,3\n4,5,1,6\n7,8,0,9\n", a, &r, &err), err);
    CHECK_OK(deft_recording_fit(&r, &c, a, &err), err);
    CHECK(r.n_obs == 2 && r.obs[0] == 3 && r.obs[1] == 1 && r.obs[2] == 6, "by name");
    CHECK(r.n_act == 1 && r.act[1] == 5, "actions by name");
    CHECK(r.n_episode == 2 && r.first[0] && !r.first[1] && r.first[2], "step begins again");

    CHECK_OK(read_text("obs0,obs1,done\n1,2,0\n1,2,1\n1,2,0\n", a, &r, &err), err);
    CHECK_OK(deft_recording_fit(&r, &c, a, &err), err);
    CHECK(r.n_episode == 2 && r.first[2] && !r.first[1], "after the end");
    CHECK_OK(read_text("obs0,obs1,x_cm,yaw\n1,2,0,0\n", a, &r, &err), err);
    CHECK_OK(deft_recording_fit(&r, NULL, a, &err), err);

    static const char *const bad[] = {"height,speed,colour\n1,2,3\n", "height\n1\n",
                                      "obs0,obs1,colour\n1,2,3\n"};
    static const char *const says[] = {"colour", "speed", "colour"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        err = (deft_error){DEFT_OK, ""};
        CHECK_OK(read_text(bad[k], a, &r, &err), err);
        CHECK(deft_recording_fit(&r, &c, a, &err) == DEFT_E_MISMATCH && strstr(err.text, says[k]) &&
                  strstr(err.text, "recording.csv"),
              "case %zu: %s", k, err.text);
    }
}

static void test_quality(deft_arena *a)
{
    char text[2048] = "obs0,obs1,obs2\n";
    deft_recording r;
    deft_recording_quality q;
    deft_error err = {DEFT_OK, ""};
    for (int k = 0; k < 60; k++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%d,%d,5\n", k % 7,
                       k == 33 ? -900 : k % 5);
    CHECK_OK(read_text(text, a, &r, &err), err);
    CHECK_OK(deft_recording_examine(&r, a, &q, &err), err);
    CHECK(q.n_still == 1 && q.still[0] == 2, "%d columns never move", q.n_still);
    CHECK(q.n_outlier == 1 && q.outlier[0].column == 1 && q.outlier[0].row == 33 &&
              q.outlier[0].value == -900 && q.outlier[0].count == 1,
          "%d outliers", q.n_outlier);
}

static void test_difference(void)
{
    const float a[] = {1, 2, NAN, 4, 0, 0}, b[] = {1, 2.5f, 7, 4, 0, -1};
    deft_difference d;
    deft_difference_of(a, b, 3, 2, 0.6, &d);
    CHECK(d.n == 5 && d.max_abs == 1 && d.worst_row == 2 && d.worst_column == 1 && d.first == 2,
          "%lld %g %d %d %d", (long long)d.n, d.max_abs, d.worst_row, d.worst_column, d.first);
    CHECK(fabs(d.mean_abs - 0.3) < 1e-12 && fabs(d.rms - 0.5) < 1e-12, "%g %g", d.mean_abs, d.rms);
    CHECK(fabs(d.snr_db - 10 * log10(21 / 1.25)) < 1e-12, "%g", d.snr_db);
    deft_difference_of(a, a, 1, 2, 0, &d);
    CHECK(d.max_abs == 0 && d.first == -1 && isinf(d.snr_db), "%g %d", d.max_abs, d.first);
    const float broken[] = {1, NAN};
    deft_difference_of(a, broken, 1, 2, 1e9, &d);
    CHECK(d.first == 0 && !(d.max_abs <= 1e9), "a NAN is no small difference: %g", d.max_abs);
}

static void test_scene(deft_arena *a)
{
    const char *scene = "?";
    deft_error err = {DEFT_OK, ""};
    CHECK_OK(deft_scene_find("pendulum", NULL, a, &scene, &err), err);
    CHECK(scene == NULL, "the pendulum needs no scene");
    CHECK_OK(deft_scene_find("quaid", "some/robot.xml", a, &scene, &err), err);
    CHECK(strcmp(scene, "some/robot.xml") == 0, "%s", scene);
    CHECK(deft_scene_find("quaid", "atlantis", a, &scene, &err) == DEFT_E_ARG, "no such scene");
    CHECK(strstr(err.text, "atlantis"), "%s", err.text);
}

int main(void)
{
    deft_arena *const a = deft_arena_create(0);
    test_columns(a);
    test_fit(a);
    test_quality(a);
    test_difference();
    test_scene(a);
    deft_arena_destroy(a);
    return check_report();
}
