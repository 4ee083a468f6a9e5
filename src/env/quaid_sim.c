/* quaid_sim.c - the robot's physics on MuJoCo's C API (2.2.2 and later). */
#include "env/quaid_sim.h"

#include <stdlib.h>
#include <string.h>

#ifndef DEFT_WITH_MUJOCO

deft_status quaid_sim_create(const char *scene, quaid_sim **out, deft_error *err)
{
    (void)scene;
    *out = NULL;
    return deft_fail(err, DEFT_E_UNSUPPORTED,
                     "quaid needs MuJoCo, which was missing when deft was built: apt install "
                     "libmujoco-dev and build again");
}
deft_status quaid_sim_clone(const quaid_sim *from, quaid_sim **out, deft_error *err)
{
    (void)from;
    return quaid_sim_create(NULL, out, err);
}
void quaid_sim_destroy(quaid_sim *s)
{
    (void)s;
}
deft_status quaid_sim_reset(quaid_sim *s, deft_rng *rng, double noise, deft_error *err)
{
    (void)s, (void)rng, (void)noise;
    return deft_fail(err, DEFT_E_UNSUPPORTED, "no MuJoCo");
}
deft_status quaid_sim_run(quaid_sim *s, const float *control, double *seconds, deft_error *err)
{
    (void)s, (void)control, (void)seconds;
    return deft_fail(err, DEFT_E_UNSUPPORTED, "no MuJoCo");
}
void quaid_sim_sense(const quaid_sim *s, quaid_sensors *out)
{
    (void)s;
    memset(out, 0, sizeof *out);
}

#else

#include <math.h>
#include <mujoco/mujoco.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <time.h>

#define CONTROL_SECONDS 0.09

typedef struct shared_model {
    mjModel *m;
    atomic_int users;
} shared_model;

struct quaid_sim {
    shared_model *model;
    mjData *d;
    int n_step;                 // physics steps of a control step
    int actuator[QUAID_SERVOS]; // position actuators, in the order of actions
    int dof[QUAID_SERVOS];
    int quaternion, position, acceleration, gyro; // addresses in sensordata
    char scene[256];                              // escaped
};

/* MuJoCo reports what it cannot go on from through a process-wide handler, and exits if that
 * returns. So every call of it is made behind setjmp, and the handler jumps back to the thread's
 * innermost one. This is the one place of the library that a global forces on us. */
typedef struct guard {
    jmp_buf back;
    char text[256];
} guard;
static _Thread_local guard *current;
static void (*other_handler)(const char *);

static void on_error(const char *text)
{
    guard *g = current;
    if (!g) { // somebody else's use of MuJoCo in this process
        if (other_handler) other_handler(text);
        abort();
    }
    (void)deft_escape(g->text, sizeof g->text, text, 1024);
    longjmp(g->back, 1);
}

/* Divergence is read from mjData afterwards; without a handler MuJoCo would write a log file into
 * the user's folder. */
static void on_warning(const char *text)
{
    (void)text;
}

static void install(void)
{
    other_handler = mju_user_error;
    mju_user_error = on_error;
    if (!mju_user_warning) mju_user_warning = on_warning;
}

typedef struct call {
    void (*f)(void *);
    void *arg;
} call;

/* Runs c; DEFT_E_FORMAT with MuJoCo's words if it gave up. */
static deft_status guarded(const call *c, const char *scene, deft_error *err)
{
    guard g;
    guard *const outer = current;
    current = &g;
    if (setjmp(g.back) == 0) {
        c->f(c->arg);
        current = outer;
        return DEFT_OK;
    }
    current = outer;
    return deft_fail(err, DEFT_E_FORMAT, "%s: MuJoCo: %s", scene, g.text);
}

typedef struct servo_name {
    const char *joint;
} servo_name;

/* In the order of actions. */
static const servo_name servos[QUAID_SERVOS] = {
    {"knee1_joint_bl"}, {"thigh_joint1_bl"}, {"knee1_joint_br"}, {"thigh_joint1_br"},
    {"knee1_joint_fr"}, {"thigh_joint1_fr"}, {"knee1_joint_fl"}, {"thigh_joint1_fl"},
};

/* The position servo on a joint: the first actuator there with a position gain. */
static int find_actuator(const mjModel *m, int joint)
{
    for (int i = 0; i < m->nu; i++) {
        if (m->actuator_trntype[i] == mjTRN_JOINT && m->actuator_trnid[2 * (size_t)i] == joint &&
            m->actuator_biasprm[mjNBIAS * (size_t)i + 1] != 0) {
            return i;
        }
    }
    return -1;
}

static deft_status find_sensor(const quaid_sim *s, int type, const char *what, int *address,
                               deft_error *err)
{
    const mjModel *m = s->model->m;
    for (int i = 0; i < m->nsensor; i++) {
        if (m->sensor_type[i] != type) continue;
        *address = m->sensor_adr[i];
        return DEFT_OK;
    }
    return deft_fail(err, DEFT_E_FORMAT, "%s: the scene has no %s sensor", s->scene, what);
}

static deft_status bind(quaid_sim *s, const mjModel *m, deft_error *err)
{
    for (int i = 0; i < QUAID_SERVOS; i++) {
        const char *name = servos[i].joint;
        const int joint = mj_name2id(m, mjOBJ_JOINT, name);
        if (joint < 0) {
            return deft_fail(err, DEFT_E_FORMAT, "%s: the scene has no joint '%s'", s->scene, name);
        }
        if (m->jnt_type[joint] != mjJNT_HINGE) {
            return deft_fail(err, DEFT_E_FORMAT, "%s: joint '%s' is not a hinge", s->scene, name);
        }
        s->dof[i] = m->jnt_dofadr[joint];
        s->actuator[i] = find_actuator(m, joint);
        if (s->actuator[i] < 0) {
            return deft_fail(err, DEFT_E_FORMAT, "%s: joint '%s' has no position actuator",
                             s->scene, name);
        }
    }
    deft_status e = find_sensor(s, mjSENS_FRAMEQUAT, "framequat", &s->quaternion, err);
    if (e == DEFT_OK) e = find_sensor(s, mjSENS_FRAMEPOS, "framepos", &s->position, err);
    if (e == DEFT_OK)
        e = find_sensor(s, mjSENS_ACCELEROMETER, "accelerometer", &s->acceleration, err);
    if (e == DEFT_OK) e = find_sensor(s, mjSENS_GYRO, "gyro", &s->gyro, err);
    if (e != DEFT_OK) return e;
    const double n = CONTROL_SECONDS / m->opt.timestep;
    if (!(n >= 0.5 && n < 10000)) {
        return deft_fail(err, DEFT_E_FORMAT, "%s: a timestep of %g s does not divide 90 ms",
                         s->scene, m->opt.timestep);
    }
    s->n_step = (int)lround(n);
    return DEFT_OK;
}

typedef struct load_args {
    const char *path;
    mjModel *m;
    char text[512];
} load_args;

static void load_xml(void *arg)
{
    load_args *a = arg;
    a->m = mj_loadXML(a->path, NULL, a->text, sizeof a->text);
}

static void make_data(void *arg)
{
    quaid_sim *s = arg;
    s->d = mj_makeData(s->model->m);
}

static deft_status add_data(quaid_sim *s, deft_error *err)
{
    const deft_status e = guarded(&(call){make_data, s}, s->scene, err);
    if (e != DEFT_OK || s->d) return e;
    return deft_fail(err, DEFT_E_SPACE, "%s: no memory for the simulation", s->scene);
}

static shared_model *load_model(const quaid_sim *s, const char *path, deft_error *err)
{
    load_args load = {.path = path};
    if (guarded(&(call){load_xml, &load}, s->scene, err) != DEFT_OK) return NULL;
    if (!load.m) {
        char why[300];
        (void)deft_fail(err, DEFT_E_FORMAT, "%s: MuJoCo: %s", s->scene,
                        deft_escape(why, sizeof why, load.text, sizeof load.text));
        return NULL;
    }
    shared_model *model = calloc(1, sizeof *model);
    if (!model) {
        mj_deleteModel(load.m);
        (void)deft_fail(err, DEFT_E_SPACE, "no memory for an environment");
        return NULL;
    }
    model->m = load.m;
    model->users = 1;
    return model;
}

deft_status quaid_sim_create(const char *scene, quaid_sim **out, deft_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, install);
    *out = NULL;
    deft_error none = {0};
    if (!err) err = &none;
    quaid_sim *s = calloc(1, sizeof *s);
    if (!s) return deft_fail(err, DEFT_E_SPACE, "no memory for an environment");
    (void)deft_escape(s->scene, sizeof s->scene, scene, 4096);
    s->model = load_model(s, scene, err);
    if (!s->model) {
        free(s);
        return err->status;
    }
    deft_status e = bind(s, s->model->m, err);
    if (e == DEFT_OK) e = add_data(s, err);
    if (e != DEFT_OK) {
        quaid_sim_destroy(s);
        return e;
    }
    *out = s;
    return DEFT_OK;
}

deft_status quaid_sim_clone(const quaid_sim *from, quaid_sim **out, deft_error *err)
{
    *out = NULL;
    quaid_sim *s = calloc(1, sizeof *s);
    if (!s) return deft_fail(err, DEFT_E_SPACE, "no memory for an environment");
    *s = *from;
    s->d = NULL;
    (void)atomic_fetch_add(&s->model->users, 1);
    const deft_status e = add_data(s, err);
    if (e != DEFT_OK) {
        quaid_sim_destroy(s);
        return e;
    }
    *out = s;
    return DEFT_OK;
}

void quaid_sim_destroy(quaid_sim *s)
{
    if (!s) return;
    if (s->d) mj_deleteData(s->d);
    if (s->model && atomic_fetch_sub(&s->model->users, 1) == 1) {
        mj_deleteModel(s->model->m);
        free(s->model);
    }
    free(s);
}

deft_status quaid_sim_reset(quaid_sim *s, deft_rng *rng, double noise, deft_error *err)
{
    (void)err;
    mj_resetData(s->model->m, s->d);
    for (int i = 0; rng && i < s->model->m->nv; i++) {
        s->d->qvel[i] += deft_rng_uniform(rng, -noise, noise);
    }
    return DEFT_OK;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void physics(void *arg)
{
    quaid_sim *s = arg;
    for (int i = 0; i < s->n_step; i++) mj_step(s->model->m, s->d);
}

static bool diverged(const mjData *d)
{
    return d->warning[mjWARN_BADQPOS].number || d->warning[mjWARN_BADQVEL].number ||
           d->warning[mjWARN_BADQACC].number || d->warning[mjWARN_BADCTRL].number;
}

deft_status quaid_sim_run(quaid_sim *s, const float *control, double *seconds, deft_error *err)
{
    for (int i = 0; i < QUAID_SERVOS; i++) s->d->ctrl[s->actuator[i]] = (double)control[i];
    const double start = now();
    const deft_status e = guarded(&(call){physics, s}, s->scene, err);
    *seconds += now() - start;
    if (e != DEFT_OK) return e;
    if (!diverged(s->d)) return DEFT_OK;
    return deft_fail(err, DEFT_E_RANGE, "%s: the physics diverged at %.3f s of simulated time",
                     s->scene, s->d->time);
}

void quaid_sim_sense(const quaid_sim *s, quaid_sensors *out)
{
    const double *x = s->d->sensordata;
    memcpy(out->quaternion, x + s->quaternion, sizeof out->quaternion);
    memcpy(out->position, x + s->position, sizeof out->position);
    memcpy(out->acceleration, x + s->acceleration, sizeof out->acceleration);
    memcpy(out->gyro, x + s->gyro, sizeof out->gyro);
    for (int i = 0; i < QUAID_SERVOS; i++) out->torque[i] = s->d->qfrc_actuator[s->dof[i]];
}

#endif
