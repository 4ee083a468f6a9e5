/* Scenes that lack something, diverge, or that MuJoCo gives up on: an error that says what, and
 * nothing printed, logged or ended. Runs in a folder of its own. */
#include "check.h"
#include "deft/env.h"
#include "small_robot.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_OBS = 17, N_ACT = 8 };
#define SMALL_STACK "<size nstack='700'/>" // enough until feet touch the ground

static deft_status open_file(const char *path, deft_env **out, deft_error *err)
{
    const deft_env_config cfg = {.scene = path};
    *err = (deft_error){0};
    return deft_env_create("quaid", &cfg, out, err);
}

static deft_env *open_robot(const small_robot *r)
{
    deft_error err;
    deft_env *e = NULL;
    CHECK(small_robot_write("robot.xml", r), "cannot write");
    CHECK_OK(open_file("robot.xml", &e, &err), err);
    return e;
}

/* The scene is refused, in words that have `word` in them. */
static void refused(const small_robot *r, const char *word)
{
    deft_error err;
    deft_env *e = NULL;
    CHECK(small_robot_write("robot.xml", r), "cannot write");
    const deft_status s = open_file("robot.xml", &e, &err);
    CHECK(s == DEFT_E_FORMAT && !e, "status %d without %s", (int)s, word);
    CHECK(strstr(err.text, word) && strstr(err.text, "robot.xml"), "'%s' lacks %s", err.text, word);
    deft_env_destroy(e);
}

static deft_status walk(deft_env *e, int steps, deft_error *err)
{
    float obs[N_OBS], act[N_ACT];
    *err = (deft_error){0};
    deft_status s = deft_env_reset(e, NULL, obs, err);
    for (int k = 0; s == DEFT_OK && k < steps; k++) {
        for (int i = 0; i < N_ACT; i++) act[i] = sinf((float)(k + i));
        deft_env_step_result out = {0};
        s = deft_env_step(e, act, obs, &out, err);
        for (int i = 0; s == DEFT_OK && i < N_OBS; i++) CHECK(isfinite(obs[i]), "obs %d", i);
        if (s == DEFT_OK && out.terminated) break;
    }
    return s;
}

static void test_whole(void)
{
    deft_error err;
    deft_env *e = open_robot(&(small_robot){0});
    if (!e) return;
    CHECK_OK(walk(e, 50, &err), err);
    deft_env_destroy(e);
    e = open_robot(&(small_robot){.timestep = "0.009", .integrator = "RK4"});
    if (e) CHECK_OK(walk(e, 50, &err), err);
    deft_env_destroy(e);
}

static void test_missing(void)
{
    for (int i = 0; i < 8; i++) {
        refused(&(small_robot){.no_joint = small_joint[i]}, small_joint[i]);
        refused(&(small_robot){.slide = small_joint[i]}, small_joint[i]);
        refused(&(small_robot){.no_actuator = small_joint[i]}, small_joint[i]);
    }
    static const char *const sensors[] = {"framequat", "framepos", "accelerometer", "gyro"};
    for (int i = 0; i < 4; i++) refused(&(small_robot){.no_sensor = sensors[i]}, sensors[i]);
    refused(&(small_robot){.timestep = "0.004"}, "90 ms"); // 22.5 of them
    refused(&(small_robot){.timestep = "0.2"}, "90 ms");
    refused(&(small_robot){.timestep = "1e-8"}, "90 ms"); // a step that would never end
    refused(&(small_robot){.mass = "-1"}, "robot.xml");
    refused(&(small_robot){.extra = "<size nstack='40'/>"}, "verflow"); // MuJoCo's trial step
    refused(&(small_robot){.extra = "<no_such_element/>"}, "no_such_element");
}

/* Fails in the physics with status and word, and again after another reset. */
static void gives_up(const small_robot *r, deft_status status, const char *word)
{
    deft_env *e = open_robot(r);
    for (int again = 0; e && again < 3; again++) {
        deft_error err = {0};
        const deft_status s = walk(e, 200, &err);
        CHECK(s == status, "%s: status %d, not %d: %s", word, (int)s, (int)status, err.text);
        CHECK(strstr(err.text, word), "'%s' lacks %s", err.text, word);
        float obs[N_OBS], act[N_ACT] = {0};
        deft_env_step_result out;
        CHECK(deft_env_step(e, act, obs, &out, &err) == DEFT_E_ARG, "a step after an error");
    }
    deft_env_destroy(e);
}

static void test_physics(void)
{
    gives_up(&(small_robot){.timestep = "0.045", .kp = "1e9"}, DEFT_E_RANGE, "diverged");
    gives_up(&(small_robot){.timestep = "0.09", .kp = "1e30", .integrator = "RK4"}, DEFT_E_RANGE,
             "diverged");
    gives_up(&(small_robot){.extra = "<option gravity='0 0 nan'/>"}, DEFT_E_RANGE, "diverged");
    gives_up(&(small_robot){.mass = "1e300"}, DEFT_E_RANGE, "diverged");
    gives_up(&(small_robot){.extra = SMALL_STACK}, DEFT_E_FORMAT, "Stack overflow");
    gives_up(&(small_robot){.extra = "<size nconmax='1'/>"}, DEFT_E_SPACE, "nconmax");
}

static void *fail_often(void *arg)
{
    deft_env *const e = arg;
    deft_error err;
    for (int k = 0; k < 20; k++) (void)walk(e, 20, &err);
    return NULL;
}

/* One thread's failures are none of another's. */
static void test_threads(void)
{
    deft_env *bad = open_robot(&(small_robot){.extra = SMALL_STACK});
    deft_env *good = open_robot(&(small_robot){0});
    pthread_t t;
    if (bad && good) {
        deft_error err;
        CHECK(pthread_create(&t, NULL, fail_often, bad) == 0, "no thread");
        for (int k = 0; k < 20; k++) CHECK_OK(walk(good, 20, &err), err);
        (void)pthread_join(t, NULL);
    }
    deft_env_destroy(bad);
    deft_env_destroy(good);
}

static void test_files(void)
{
    deft_error err;
    deft_env *e = NULL;
    CHECK(open_file("no-such.xml", &e, &err) == DEFT_E_IO, "a scene that is not there");
    CHECK(strstr(err.text, "no-such.xml"), "'%s'", err.text);
    CHECK(open_file(".", &e, &err) == DEFT_E_IO, "a folder");
    CHECK(mkfifo("fifo.xml", 0600) == 0 && open_file("fifo.xml", &e, &err) == DEFT_E_IO, "a FIFO");
    CHECK(small_robot_write("a\033[31m\n.xml", &(small_robot){.no_sensor = "gyro"}),
          "cannot write");
    CHECK(open_file("a\033[31m\n.xml", &e, &err) == DEFT_E_FORMAT, "a strange name");
    CHECK(!strchr(err.text, '\033') && !strchr(err.text, '\n'), "not escaped: '%s'", err.text);
    static const char *const broken[2][2] = {
        {"<mujoco><worldbody><\033[31mgeom size='0.1'", "not well-formed XML"},
        {"<mujoco>\n<worldbody><geomm size='0.1'/></worldbody></mujoco>", "MuJoCo"},
    };
    for (int k = 0; k < 2; k++) { // what is no XML, and what MuJoCo refuses
        FILE *f = fopen("broken.xml", "w");
        if (f) {
            (void)fprintf(f, "%s", broken[k][0]);
            (void)fclose(f);
        }
        CHECK(open_file("broken.xml", &e, &err) == DEFT_E_FORMAT, "broken XML");
        CHECK(strstr(err.text, broken[k][1]) && !strpbrk(err.text, "\033\n") &&
                  !strstr(err.text, "\\n"),
              "'%s'", err.text);
    }
}

/* Only what the tests wrote themselves is in the folder; removes it. */
static void check_folder(const char *folder)
{
    DIR *d = opendir(".");
    for (const struct dirent *x; d && (x = readdir(d));) {
        CHECK(!strstr(x->d_name, "LOG"), "MuJoCo wrote %s", x->d_name);
        if (x->d_name[0] != '.') (void)unlink(x->d_name);
    }
    if (d) (void)closedir(d);
    CHECK(chdir("/") == 0 && rmdir(folder) == 0, "%s is not empty", folder);
}

int main(void)
{
    char folder[] = "/tmp/deft-scenes-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    deft_error err = {0};
    deft_env *e = NULL;
    CHECK(small_robot_write("robot.xml", &(small_robot){0}), "cannot write");
    if (open_file("robot.xml", &e, &err) == DEFT_E_UNSUPPORTED) {
        CHECK(strstr(err.text, "libmujoco-dev"), "'%s' names the package", err.text);
        check_folder(folder);
        return check_failures ? check_report() : (printf("skipped: no MuJoCo\n"), 77);
    }
    deft_env_destroy(e);
    test_whole();
    test_missing();
    test_physics();
    test_threads();
    test_files();
    check_folder(folder);
    return check_report();
}
