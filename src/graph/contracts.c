/* contracts.c - the contracts that are known by name. */
#include "graph/model_private.h"

#include <math.h>
#include <string.h>

typedef struct known_input {
    const char *name;
    const char *unit;     // of the raw value
    const char *unit_div; // of the value divided by max
    float max;            // what the environment divides by
    float lo, hi;         // where raw values usually are
} known_input;

typedef struct known_output {
    const char *name, *unit;
    float lo, hi;
} known_output;

typedef struct known_contract {
    const char *name;
    int32_t n_obs, n_act;
    const known_input *obs;
    const known_output *act;
    bool divided;        // observations arrive divided by max
    bool previous_first; // n_act + n_obs inputs: the first n_act are the previous action
    double period_s;
    int32_t n_note;
    const deft_meta *note;
} known_contract;

/* The paper's robot, in the order of its environment: legs FL, FR, BL, BR; servos by channel. */
static const known_input quaid_obs[17] = {
    {"current_front_left", "A", "4 A", 4, 0, 4},
    {"current_front_right", "A", "4 A", 4, 0, 4},
    {"current_back_left", "A", "4 A", 4, 0, 4},
    {"current_total", "A", "8 A", 8, 0, 8},
    {"yaw", "rad", "pi/2 rad", 1.57079632679489661923f, -1.57f, 1.57f},
    {"acc_z", "m/s^2", "20 m/s^2", 20, 0, 20},
    {"pitch", "rad", "pi/2 rad", 1.57079632679489661923f, -0.7f, 0.7f},
    {"roll", "rad", "pi/2 rad", 1.57079632679489661923f, -0.7f, 0.7f},
    {"current_back_right", "A", "4 A", 4, 0, 4},
    {"servo_knee_back_left", "tick", "500 ticks", 500, 185, 430},
    {"servo_thigh_back_left", "tick", "500 ticks", 500, 308, 430},
    {"servo_knee_back_right", "tick", "500 ticks", 500, 185, 430},
    {"servo_thigh_back_right", "tick", "500 ticks", 500, 185, 308},
    {"servo_knee_front_right", "tick", "500 ticks", 500, 185, 430},
    {"servo_thigh_front_right", "tick", "500 ticks", 500, 185, 308},
    {"servo_knee_front_left", "tick", "500 ticks", 500, 185, 430},
    {"servo_thigh_front_left", "tick", "500 ticks", 500, 308, 430},
};

/* -1 is the servo's smallest position, 1 its largest. */
static const known_output quaid_act[8] = {
    {"knee_back_left", "servo range", -1, 1},   {"thigh_back_left", "servo range", -1, 1},
    {"knee_back_right", "servo range", -1, 1},  {"thigh_back_right", "servo range", -1, 1},
    {"knee_front_right", "servo range", -1, 1}, {"thigh_front_right", "servo range", -1, 1},
    {"knee_front_left", "servo range", -1, 1},  {"thigh_front_left", "servo range", -1, 1},
};

static const deft_meta quaid_note[] = {
    {"joint_names", "knee1_joint_bl,thigh_joint1_bl,knee1_joint_br,thigh_joint1_br,"
                    "knee1_joint_fr,thigh_joint1_fr,knee1_joint_fl,thigh_joint1_fl"},
    {"servo_min", "185,308,185,185,185,185,185,308"},
    {"servo_max", "430,430,430,308,430,308,430,430"},
    {"period", "0.09 s of simulated time; the original controller ran every 50 ms of wall time "
               "beside a simulation about 1.8 times as fast"},
};

/* Gymnasium's Pendulum-v1. */
static const known_input pendulum_obs[3] = {
    {"cos_theta", "1", "1", 1, -1, 1},
    {"sin_theta", "1", "1", 1, -1, 1},
    {"theta_dot", "rad/s", "rad/s", 1, -8, 8},
};
static const known_output pendulum_act[1] = {{"torque", "N m", -2, 2}};

enum { N_QUAID_NOTE = sizeof quaid_note / sizeof quaid_note[0] };

static const known_contract known[] = {
    {"quaid", 17, 8, quaid_obs, quaid_act, false, true, 0.09, N_QUAID_NOTE, quaid_note},
    {"quaid-normalised", 17, 8, quaid_obs, quaid_act, true, true, 0.09, N_QUAID_NOTE, quaid_note},
    {"pendulum", 3, 1, pendulum_obs, pendulum_act, false, false, 0.05, 0, NULL},
};
enum { N_KNOWN = sizeof known / sizeof known[0] };

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "no memory for the contract");
}

static float at_or(const float *x, int32_t i, float otherwise)
{
    return x ? x[i] : otherwise;
}

/* --- contracts by name ----------------------------------------------------------------------- */

static const known_contract *find(const char *name)
{
    for (int32_t i = 0; name && i < N_KNOWN; i++)
        if (strcmp(known[i].name, name) == 0) return &known[i];
    return NULL;
}

bool deft_contract_has_name(const char *name)
{
    return find(name) != NULL;
}

/* What the world's value has to be multiplied by to be what the policy's normaliser takes now. */
static double factor(const known_contract *from, const known_contract *to, int32_t i)
{
    // a policy without a contract, or with another's, takes what its environment emits
    const bool was_raw = from && from->obs == to->obs && !from->divided;
    if (was_raw == !to->divided) return 1;
    return was_raw ? (double)to->obs[i].max : 1 / (double)to->obs[i].max;
}

/* What observations can be, in the unit in which they come now. */
static deft_status rescale_ranges(deft_model *m, const known_contract *from,
                                  const known_contract *k, deft_error *err)
{
    float **const range[2] = {&m->contract.obs_least, &m->contract.obs_most};
    for (int j = 0; j < 2; j++) {
        if (!*range[j]) continue;
        float *v = DEFT_NEW_ARRAY(m->arena, float, k->n_obs);
        if (!v) return no_memory(err);
        for (int32_t i = 0; i < k->n_obs; i++)
            v[i] = (float)((double)(*range[j])[i] / factor(from, k, i));
        *range[j] = v;
    }
    return DEFT_OK;
}

/* x = (f obs - offset) scale = (obs - offset / f) (f scale) */
static deft_status set_observations(deft_model *m, const known_contract *k, deft_error *err)
{
    deft_contract *c = &m->contract;
    const known_contract *from = find(c->name);
    const char **name = DEFT_NEW_ARRAY(m->arena, const char *, k->n_obs);
    const char **unit = DEFT_NEW_ARRAY(m->arena, const char *, k->n_obs);
    float *scale = DEFT_NEW_ARRAY(m->arena, float, k->n_obs);
    float *offset = DEFT_NEW_ARRAY(m->arena, float, k->n_obs);
    if (!name || !unit || !scale || !offset) return no_memory(err);
    bool any_scale = false;
    for (int32_t i = 0; i < k->n_obs; i++) {
        const double f = factor(from, k, i);
        name[i] = k->obs[i].name;
        unit[i] = k->divided ? k->obs[i].unit_div : k->obs[i].unit;
        scale[i] = (float)((double)at_or(c->obs_scale, i, 1) * f);
        offset[i] = (float)((double)at_or(c->obs_offset, i, 0) / f);
        any_scale |= scale[i] != 1;
    }
    c->obs_name = name;
    c->obs_unit = unit;
    c->obs_scale = any_scale ? scale : NULL;
    if (c->obs_offset) c->obs_offset = offset;
    return rescale_ranges(m, from, k, err);
}

/* The tighter of the policy's own limits and the contract's; the contract's if they are apart. */
static deft_status set_actions(deft_model *m, const known_contract *k, deft_error *err)
{
    deft_contract *c = &m->contract;
    const char **name = DEFT_NEW_ARRAY(m->arena, const char *, k->n_act);
    const char **unit = DEFT_NEW_ARRAY(m->arena, const char *, k->n_act);
    float *lo = DEFT_NEW_ARRAY(m->arena, float, k->n_act);
    float *hi = DEFT_NEW_ARRAY(m->arena, float, k->n_act);
    if (!name || !unit || !lo || !hi) return no_memory(err);
    for (int32_t i = 0; i < k->n_act; i++) {
        name[i] = k->act[i].name;
        unit[i] = k->act[i].unit;
        lo[i] = fmaxf(at_or(c->act_lo, i, -INFINITY), k->act[i].lo);
        hi[i] = fminf(at_or(c->act_hi, i, INFINITY), k->act[i].hi);
        if (lo[i] <= hi[i]) continue;
        lo[i] = k->act[i].lo;
        hi[i] = k->act[i].hi;
    }
    c->act_name = name;
    c->act_unit = unit;
    c->act_lo = lo;
    c->act_hi = hi;
    return DEFT_OK;
}

/* The contract's notes, then what else was noted. */
static deft_status set_notes(deft_model *m, const known_contract *k, deft_error *err)
{
    deft_contract *c = &m->contract;
    deft_meta *note = DEFT_NEW_ARRAY(m->arena, deft_meta, (size_t)c->n_note + (size_t)k->n_note);
    if (!note) return no_memory(err);
    int32_t n = 0;
    for (; n < k->n_note; n++) note[n] = k->note[n];
    for (int32_t i = 0; i < c->n_note; i++) {
        bool again = false;
        for (int32_t j = 0; j < k->n_note; j++)
            again |= strcmp(c->note[i].key, k->note[j].key) == 0;
        if (!again) note[n++] = c->note[i];
    }
    c->note = note;
    c->n_note = n;
    return DEFT_OK;
}

static deft_status unknown_contract(const char *name, deft_error *err)
{
    char text[128], hint[DEFT_HINT];
    deft_nearest near;
    deft_nearest_begin(&near, name);
    for (int32_t i = 0; i < N_KNOWN; i++) deft_nearest_offer(&near, known[i].name);
    return deft_fail(err, DEFT_E_ARG,
                     "there is no contract '%s'; there are quaid, quaid-normalised and pendulum, "
                     "or a file of your own: FILE.json%s",
                     deft_escape(text, sizeof text, name, 64), deft_nearest_hint(&near, hint));
}

deft_status deft_model_set_contract(deft_model *m, const char *name, deft_error *err)
{
    const known_contract *k = find(name);
    if (!k) return unknown_contract(name ? name : "", err);
    deft_contract *c = &m->contract;
    const bool previous = k->previous_first && c->n_obs == k->n_obs + k->n_act;
    if (c->discrete || c->n_act != k->n_act || (c->n_obs != k->n_obs && !previous))
        return deft_fail(
            err, DEFT_E_MISMATCH,
            "contract '%s' wants %d observations%s and %d actions; the policy has "
            "%d and %d%s",
            k->name, (int)k->n_obs, k->previous_first ? " (behind the previous action or not)" : "",
            (int)k->n_act, (int)c->n_obs, (int)c->n_act, c->discrete ? " discrete" : "");
    deft_status s = previous ? deft_model_feed_previous(m, true, err) : DEFT_OK;
    if (s == DEFT_OK) s = set_observations(m, k, err);
    if (s == DEFT_OK) s = set_actions(m, k, err);
    if (s == DEFT_OK) s = set_notes(m, k, err);
    if (s != DEFT_OK) return s;
    c->name = k->name;
    c->period_s = k->period_s;
    m->changed = true;
    return deft_model_check(m, err);
}

/* Whether entry i of a list, NULL where all are empty, is this text. */
static bool says(const char *const *list, int32_t i, const char *text)
{
    return strcmp(list && list[i] ? list[i] : "", text) == 0;
}

bool deft_contract_is_known(const deft_contract *c)
{
    const known_contract *const k = c->name && c->name[0] ? find(c->name) : NULL;
    if (!k || c->n_obs != k->n_obs || c->n_act != k->n_act || c->n_note < k->n_note) return false;
    bool same = true;
    for (int32_t i = 0; i < k->n_obs; i++) {
        const char *const unit = k->divided ? k->obs[i].unit_div : k->obs[i].unit;
        same &= says(c->obs_name, i, k->obs[i].name) && says(c->obs_unit, i, unit);
    }
    for (int32_t i = 0; i < k->n_act; i++)
        same &= says(c->act_name, i, k->act[i].name) && says(c->act_unit, i, k->act[i].unit);
    for (int32_t i = 0; i < k->n_note; i++)
        same &= strcmp(c->note[i].key, k->note[i].key) == 0 &&
                strcmp(c->note[i].value, k->note[i].value) == 0;
    return same;
}

int32_t deft_contract_known_notes(const char *name)
{
    const known_contract *const k = find(name);
    return k ? k->n_note : 0;
}

deft_status deft_contract_name(deft_contract *c, const char *name, deft_arena *a, deft_error *err)
{
    const known_contract *const k = find(name);
    char text[80];
    if (!k || c->n_obs != k->n_obs || c->n_act != k->n_act) {
        return deft_fail(err, DEFT_E_VERSION, "contract '%s' is not known here",
                         deft_escape(text, sizeof text, name, 64));
    }
    const char **const list = DEFT_NEW_ARRAY(a, const char *, 2 * (k->n_obs + k->n_act));
    deft_meta *const note = DEFT_NEW_ARRAY(a, deft_meta, k->n_note + c->n_note);
    if (!list || !note) return no_memory(err);
    c->name = k->name;
    c->obs_name = list;
    c->obs_unit = list + k->n_obs;
    c->act_name = c->obs_unit + k->n_obs;
    c->act_unit = c->act_name + k->n_act;
    for (int32_t i = 0; i < k->n_obs; i++) {
        c->obs_name[i] = k->obs[i].name;
        c->obs_unit[i] = k->divided ? k->obs[i].unit_div : k->obs[i].unit;
    }
    for (int32_t i = 0; i < k->n_act; i++) {
        c->act_name[i] = k->act[i].name;
        c->act_unit[i] = k->act[i].unit;
    }
    for (int32_t i = 0; i < k->n_note; i++) note[i] = k->note[i];
    for (int32_t i = 0; i < c->n_note; i++) note[k->n_note + i] = c->note[i];
    c->note = note;
    c->n_note += k->n_note;
    return DEFT_OK;
}

bool deft_contract_known_range(const deft_contract *c, int32_t i, float *lo, float *hi)
{
    const known_contract *const k = find(c->name);
    if (!k || c->n_obs != k->n_obs || i < 0 || i >= k->n_obs) return false;
    const float by = k->divided ? k->obs[i].max : 1;
    *lo = k->obs[i].lo / by;
    *hi = k->obs[i].hi / by;
    return true;
}

float deft_contract_known_divisor(const deft_contract *c, int32_t i)
{
    const known_contract *const k = find(c->name);
    return k && k->divided && i >= 0 && i < k->n_obs ? k->obs[i].max : 1;
}
