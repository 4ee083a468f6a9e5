/* quaid_sim.c - the robot's physics on MuJoCo's C API (2.2.2 and later). */
#include "env/quaid_sim.h"
#include "env/scene_check.h"

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
deft_status quaid_sim_vary(quaid_sim *s, const quaid_variation *v, deft_error *err)
{
    (void)s, (void)v;
    return deft_fail(err, DEFT_E_UNSUPPORTED, "no MuJoCo");
}
void quaid_sim_push(quaid_sim *s, double dx, double dy)
{
    (void)s, (void)dx, (void)dy;
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
uint64_t quaid_sim_hash(const quaid_sim *s)
{
    (void)s;
    return 0;
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
#define WHOLE           1e-4 // how far from whole the physics steps of a control step may be

typedef struct shared_model {
    mjModel *m;
    atomic_int users;
} shared_model;

struct quaid_sim {
    shared_model *model;
    const mjModel *m; // the shared one, or `own`
    mjModel *own;     // varied, or NULL
    mjData *d;
    int n_step;                 // physics steps of a control step
    int actuator[QUAID_SERVOS]; // position actuators, in the order of actions
    int dof[QUAID_SERVOS];
    int root;                                     // the robot's first body
    int quaternion, position, acceleration, gyro; // addresses in sensordata
    char scene[256];                              // escaped
};

/* MuJoCo reports what it cannot go on from through mju_user_error, a variable of the process;
 * without a handler it exits, and after one that returns it goes on in a broken state. So every
 * call of it is made behind setjmp, and the handler jumps back to the thread's innermost one. Only
 * C frames of MuJoCo are jumped over: its loader, in C++, catches its own errors and returns them
 * as a text. Memory that a call held at that moment lies in mjData's own stack, which a reset
 * empties. Globals of others force these few on us. */
typedef struct guard {
    jmp_buf back;
    char error[256], warning[256]; // escaped; of the warnings the first
} guard;
static _Thread_local guard *current;
static void (*other_error)(const char *), (*other_warning)(const char *);
static pthread_mutex_t loader =
    PTHREAD_MUTEX_INITIALIZER; // mj_loadXML keeps the last file in a global

static void on_error(const char *text)
{
    guard *g = current;
    if (!g) { // somebody else's use of MuJoCo in this process: as it would have been without us
        if (other_error) other_error(text);
        abort();
    }
    (void)deft_escape(g->error, sizeof g->error, text, 1024);
    longjmp(g->back, 1);
}

/* Without a handler MuJoCo would print and write MUJOCO_LOG.TXT into the user's folder. */
static void on_warning(const char *text)
{
    guard *g = current;
    if (!g) {
        if (other_warning) other_warning(text);
    } else if (!g->warning[0]) {
        (void)deft_escape(g->warning, sizeof g->warning, text, 1024);
    }
}

static void install(void)
{
    other_error = mju_user_error;
    other_warning = mju_user_warning;
    mju_user_error = on_error;
    mju_user_warning = on_warning;
}

typedef struct call {
    void (*f)(void *);
    void *arg;
    char warning[256]; // out: MuJoCo's first one, escaped; "" for none
} call;

/* Runs c; DEFT_E_FORMAT with MuJoCo's words if it gave up. */
static deft_status guarded(call *c, const char *scene, deft_error *err)
{
    guard g;
    guard *const outer = current;
    g.error[0] = g.warning[0] = '\0';
    current = &g;
    if (setjmp(g.back) == 0) {
        c->f(c->arg);
        current = outer;
        memcpy(c->warning, g.warning, sizeof c->warning);
        return DEFT_OK;
    }
    current = outer;
    return deft_fail(err, DEFT_E_FORMAT, "%s: MuJoCo: %s", scene, g.error);
}

/* In the order of actions. */
static const char *const servo_joint[QUAID_SERVOS] = {
    "knee1_joint_bl", "thigh_joint1_bl", "knee1_joint_br", "thigh_joint1_br",
    "knee1_joint_fr", "thigh_joint1_fr", "knee1_joint_fl", "thigh_joint1_fl",
};

/* The position servo on a joint, whatever its name: the first actuator there that pulls back. */
static int find_actuator(const mjModel *m, int joint)
{
    for (int i = 0; i < m->nu; i++) {
        if (m->actuator_trntype[i] == mjTRN_JOINT && m->actuator_trnid[2 * (size_t)i] == joint &&
            m->actuator_biastype[i] == mjBIAS_AFFINE &&
            m->actuator_biasprm[mjNBIAS * (size_t)i + 1] != 0) {
            return i;
        }
    }
    return -1;
}

typedef struct sensor_kind {
    int type;               // mjtSensor; it implies the number of values
    const char *name, *tag; // of the MJCF
} sensor_kind;

/* The sensor of that name, else the first of its kind. */
static deft_status find_sensor(const quaid_sim *s, const sensor_kind *k, int *address,
                               deft_error *err)
{
    const mjModel *m = s->m;
    int found = mj_name2id(m, mjOBJ_SENSOR, k->name);
    if (found >= 0 && m->sensor_type[found] != k->type) found = -1;
    for (int i = 0; found < 0 && i < m->nsensor; i++) {
        if (m->sensor_type[i] == k->type) found = i;
    }
    if (found < 0) {
        return deft_fail(err, DEFT_E_FORMAT, "%s: the scene has no %s sensor ('%s')", s->scene,
                         k->tag, k->name);
    }
    *address = m->sensor_adr[found];
    return DEFT_OK;
}

static deft_status bind_sensors(quaid_sim *s, deft_error *err)
{
    static const sensor_kind kinds[] = {
        {mjSENS_FRAMEQUAT, "orientation", "framequat"},
        {mjSENS_FRAMEPOS, "position", "framepos"},
        {mjSENS_ACCELEROMETER, "acceleration", "accelerometer"},
        {mjSENS_GYRO, "gyro", "gyro"},
    };
    int *const address[] = {&s->quaternion, &s->position, &s->acceleration, &s->gyro};
    deft_status e = DEFT_OK;
    for (size_t i = 0; e == DEFT_OK && i < sizeof kinds / sizeof kinds[0]; i++) {
        e = find_sensor(s, &kinds[i], address[i], err);
    }
    return e;
}

static deft_status bind(quaid_sim *s, const mjModel *m, deft_error *err)
{
    for (int i = 0; i < QUAID_SERVOS; i++) {
        const char *name = servo_joint[i];
        const int joint = mj_name2id(m, mjOBJ_JOINT, name);
        if (joint < 0) {
            return deft_fail(err, DEFT_E_FORMAT, "%s: the scene has no joint '%s'", s->scene, name);
        }
        if (m->jnt_type[joint] != mjJNT_HINGE) {
            return deft_fail(err, DEFT_E_FORMAT, "%s: joint '%s' is not a hinge", s->scene, name);
        }
        s->dof[i] = m->jnt_dofadr[joint];
        s->root = m->body_rootid[m->jnt_bodyid[joint]];
        s->actuator[i] = find_actuator(m, joint);
        if (s->actuator[i] < 0) {
            return deft_fail(err, DEFT_E_FORMAT, "%s: joint '%s' has no position actuator",
                             s->scene, name);
        }
    }
    const double n = CONTROL_SECONDS / m->opt.timestep;
    if (!(n >= 1 - WHOLE && n < 1e6 && fabs(n - round(n)) <= WHOLE)) {
        return deft_fail(err, DEFT_E_FORMAT, "%s: a timestep of %g s does not divide 90 ms",
                         s->scene, m->opt.timestep);
    }
    s->n_step = (int)lround(n);
    return bind_sensors(s, err);
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
    mj_freeLastXML(); // the loader keeps it for writing it back
}

static void make_data(void *arg)
{
    quaid_sim *s = arg;
    s->d = mj_makeData(s->m);
}

static deft_status add_data(quaid_sim *s, deft_error *err)
{
    const deft_status e = guarded(&(call){.f = make_data, .arg = s}, s->scene, err);
    if (e != DEFT_OK || s->d) return e;
    return deft_fail(err, DEFT_E_SPACE, "%s: no memory for the simulation", s->scene);
}

/* MuJoCo's texts have lines; errors are one. */
static void one_line(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n') text[--n] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n') text[i] = ' ';
    }
}

static shared_model *load_model(const quaid_sim *s, const char *path, deft_error *err)
{
    load_args load = {.path = path};
    if (scene_check(path, err) != DEFT_OK) return NULL;
    (void)pthread_mutex_lock(&loader);
    const deft_status e = guarded(&(call){.f = load_xml, .arg = &load}, s->scene, err);
    (void)pthread_mutex_unlock(&loader);
    if (e != DEFT_OK) return NULL;
    if (!load.m) {
        char why[300];
        one_line(load.text);
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

typedef struct save_args {
    const mjModel *m;
    void *bytes;
    int size;
} save_args;

static void save_model(void *arg)
{
    const save_args *const a = arg;
    mj_saveModel(a->m, NULL, a->bytes, a->size);
}

uint64_t quaid_sim_hash(const quaid_sim *s)
{
    save_args a = {.m = s->model->m, .size = (int)mj_sizeModel(s->model->m)};
    a.bytes = calloc(1, (size_t)a.size);
    deft_error err;
    uint64_t hash = 0;
    if (a.bytes && guarded(&(call){.f = save_model, .arg = &a}, s->scene, &err) == DEFT_OK) {
        uint8_t sha[32];
        deft_sha256(a.bytes, (size_t)a.size, sha);
        memcpy(&hash, sha, sizeof hash);
    }
    free(a.bytes);
    return hash;
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
    s->m = s->model->m;
    deft_status e = bind(s, s->m, err);
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
    s->m = s->model->m;
    s->own = NULL;
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
    if (s->own) mj_deleteModel(s->own);
    if (s->model && atomic_fetch_sub(&s->model->users, 1) == 1) {
        mj_deleteModel(s->model->m);
        free(s->model);
    }
    free(s);
}

static void copy_model(void *arg)
{
    quaid_sim *s = arg;
    s->own = mj_copyModel(NULL, s->model->m);
}

static void derive(void *arg)
{
    quaid_sim *s = arg;
    mj_setConst(s->own, s->d);
}

/* Always from the scene's values: episodes do not drift. */
static void scale_model(const quaid_sim *s, const quaid_variation *v)
{
    const mjModel *from = s->model->m;
    mjModel *m = s->own;
    for (int i = 0; i < m->ngeom; i++) {
        m->geom_friction[3 * (size_t)i] = from->geom_friction[3 * (size_t)i] * v->friction;
    }
    for (int i = 0; i < m->npair; i++) {
        double *const pair = m->pair_friction + 5 * (size_t)i;
        pair[0] = from->pair_friction[5 * (size_t)i] * v->friction;
        pair[1] = from->pair_friction[5 * (size_t)i + 1] * v->friction;
    }
    for (int i = s->root; i < m->nbody; i++) {
        if (m->body_rootid[i] != s->root) continue;
        m->body_mass[i] = from->body_mass[i] * v->mass;
        for (size_t k = 3 * (size_t)i; k < 3 * (size_t)i + 3; k++) {
            m->body_inertia[k] = from->body_inertia[k] * v->mass;
        }
    }
    for (int i = 0; i < QUAID_SERVOS; i++) {
        const size_t a = (size_t)s->actuator[i];
        m->actuator_gainprm[mjNGAIN * a] = from->actuator_gainprm[mjNGAIN * a] * v->servo_gain[i];
        m->actuator_biasprm[mjNBIAS * a + 1] =
            from->actuator_biasprm[mjNBIAS * a + 1] * v->servo_gain[i];
    }
}

deft_status quaid_sim_vary(quaid_sim *s, const quaid_variation *v, deft_error *err)
{
    s->m = s->model->m;
    if (!v) return DEFT_OK;
    if (!s->own) {
        const deft_status e = guarded(&(call){.f = copy_model, .arg = s}, s->scene, err);
        if (e != DEFT_OK) return e;
        if (!s->own) return deft_fail(err, DEFT_E_SPACE, "%s: no memory for a model", s->scene);
    }
    scale_model(s, v);
    s->m = s->own;
    return guarded(&(call){.f = derive, .arg = s}, s->scene, err); // what follows from masses
}

void quaid_sim_push(quaid_sim *s, double dx, double dy)
{
    if (s->m->body_dofnum[s->root] != 6) return; // it does not float
    double *const v = s->d->qvel + s->m->body_dofadr[s->root];
    v[0] += dx;
    v[1] += dy;
}

static void reset_data(void *arg)
{
    quaid_sim *s = arg;
    mj_resetData(s->m, s->d);
}

deft_status quaid_sim_reset(quaid_sim *s, deft_rng *rng, double noise, deft_error *err)
{
    const deft_status e = guarded(&(call){.f = reset_data, .arg = s}, s->scene, err);
    for (int i = 0; e == DEFT_OK && rng && i < s->m->nv; i++) {
        s->d->qvel[i] += deft_rng_uniform(rng, -noise, noise);
    }
    return e;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* MuJoCo starts over by itself from a state that is not finite. Such a start is not ours, nor are
 * numbers that miss contacts for want of room. */
static deft_status health(const mjData *d)
{
    const mjWarningStat *w = d->warning;
    if (w[mjWARN_BADQPOS].number || w[mjWARN_BADQVEL].number || w[mjWARN_BADQACC].number ||
        w[mjWARN_BADCTRL].number) {
        return DEFT_E_RANGE;
    }
    return w[mjWARN_CONTACTFULL].number || w[mjWARN_CNSTRFULL].number ? DEFT_E_SPACE : DEFT_OK;
}

static void physics(void *arg)
{
    quaid_sim *s = arg;
    for (int i = 0; i < s->n_step && health(s->d) == DEFT_OK; i++) mj_step(s->m, s->d);
}

deft_status quaid_sim_run(quaid_sim *s, const float *control, double *seconds, deft_error *err)
{
    for (int i = 0; i < QUAID_SERVOS; i++) s->d->ctrl[s->actuator[i]] = (double)control[i];
    call c = {.f = physics, .arg = s};
    const double start = now();
    const deft_status e = guarded(&c, s->scene, err);
    *seconds += now() - start;
    if (e != DEFT_OK) return e;
    const deft_status h = health(s->d);
    if (h == DEFT_OK) return DEFT_OK;
    return deft_fail(err, h, "%s: %s: MuJoCo: %s", s->scene,
                     h == DEFT_E_RANGE ? "the physics diverged"
                                       : "too few contacts or constraints allowed (nconmax, njmax)",
                     c.warning);
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
