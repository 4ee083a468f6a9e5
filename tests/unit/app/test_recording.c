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
    test_difference();
    test_scene(a);
    deft_arena_destroy(a);
    return check_report();
}
