/* trainer_state.c - a trainer as bytes, between rounds, and back.
 *
 * The rows of the replay buffer are apart: they only grow, so a run appends them to a file. An
 * environment is not stored but brought to its place again by the actions of its episode. */
#include "train/trainer_private.h"

#include <stdlib.h>
#include <string.h>

/* A cursor that writes, reads, or only counts. */
typedef struct cursor {
    char *at; // NULL: count
    size_t used;
    bool load;
} cursor;

static void move(cursor *c, void *p, size_t n)
{
    if (c->at && c->load) memcpy(p, c->at + c->used, n);
    if (c->at && !c->load) memcpy(c->at + c->used, p, n);
    c->used += n;
}

/* Any byte that is not zero is true: others than 0 and 1 must not come into a bool. */
static void move_bool(cursor *c, bool *b)
{
    uint8_t byte = *b;
    move(c, &byte, sizeof byte);
    *b = byte != 0;
}

static void move_lane(const deft_trainer *t, deft_lane *l, cursor *c)
{
    move(c, &l->rng, sizeof l->rng);
    move(c, &l->episode, sizeof l->episode);
    move(c, &l->step, sizeof l->step);
    move(c, &l->reward, sizeof l->reward);
    move(c, &l->heading, sizeof l->heading);
    move(c, &l->torque, sizeof l->torque);
    move(c, &l->current, sizeof l->current);
    move(c, &l->last_row, sizeof l->last_row);
    // An encoder that learns was another one at each step of the episode.
    if (t->learner) move(c, l->state, (size_t)t->encoder.n_state * sizeof(float));
    move(c, l->feature, (size_t)t->n_feature * sizeof(float));
    move(c, l->taken, (size_t)t->max_steps * (size_t)t->n_act * sizeof(float));
}

static void move_all(deft_trainer *t, cursor *c)
{
    move(c, &t->step, sizeof t->step);
    move(c, &t->update, sizeof t->update);
    move(c, &t->next_eval, sizeof t->next_eval);
    move(c, &t->update_debt, sizeof t->update_debt);
    move_bool(c, &t->prepared);
    move_bool(c, &t->warm_started);
    move(c, &t->rng, sizeof t->rng);
    move_bool(c, &t->have_best);
    move(c, &t->best_reward, sizeof t->best_reward);
    if (t->cfg.best_distance > 0) move(c, &t->best_distance, sizeof t->best_distance);
    move(c, t->best_param, (size_t)deft_net_params(deft_agent_actor_net(t->agent)) * sizeof(float));
    move_bool(c, &t->normalizer.on);
    move(c, t->normalizer.offset, (size_t)t->n_obs * sizeof(float));
    move(c, t->normalizer.scale, (size_t)t->n_obs * sizeof(float));
    if (t->encoder.n_param) {
        move(c, t->encoder.param, (size_t)t->encoder.n_param * sizeof(float));
    }
    if (t->learner) {
        move(c, t->learner->memory, t->learner->state_floats * sizeof(float));
        move(c, &t->learner->step, sizeof t->learner->step);
    }
    move(c, &t->replay.head, sizeof t->replay.head);
    for (int32_t i = 0; i < t->n_lane; i++) move_lane(t, &t->lane[i], c);
    const size_t agent = deft_agent_state_size(t->agent);
    if (c->at && c->load) deft_agent_state_load(t->agent, c->at + c->used);
    if (c->at && !c->load) deft_agent_state_save(t->agent, c->at + c->used);
    c->used += agent;
}

/* Counting and saving read only. */
static deft_trainer *writable(const deft_trainer *t)
{
    union {
        const deft_trainer *in;
        deft_trainer *out;
    } u = {t};
    return u.out;
}

size_t deft_trainer_state_size(const deft_trainer *t)
{
    cursor c = {0};
    move_all(writable(t), &c);
    return c.used;
}

void deft_trainer_state_save(const deft_trainer *t, void *to)
{
    cursor c = {.at = to};
    move_all(writable(t), &c);
}

int64_t deft_trainer_rows(const deft_trainer *t)
{
    return t->replay.head;
}

int64_t deft_trainer_step(const deft_trainer *t)
{
    return t->step;
}

int64_t deft_trainer_capacity(const deft_trainer *t)
{
    return t->replay.capacity;
}

size_t deft_trainer_row_size(const deft_trainer *t)
{
    return t->replay.stride * sizeof(float) + sizeof(int64_t);
}

void deft_trainer_rows_save(const deft_trainer *t, int64_t first, int64_t count, void *to)
{
    const size_t floats = t->replay.stride * sizeof(float);
    char *p = to;
    for (int64_t i = first; i < first + count; i++) {
        memcpy(p, deft_replay_row(&t->replay, i), floats);
        memcpy(p + floats, &t->replay.previous[i % t->replay.capacity], sizeof(int64_t));
        p += floats + sizeof(int64_t);
    }
}

/* Numbers that loops and sums rely on. */
static deft_status check_numbers(const deft_trainer *t, deft_error *err)
{
    const int64_t most = INT64_C(1) << 50;
    const bool good = t->step >= 0 && t->step < most && t->update >= 0 && t->update < most &&
                      t->next_eval >= 0 && t->next_eval < most && t->replay.head >= 0 &&
                      t->replay.head < most && t->update_debt >= 0 && t->update_debt < 1;
    return good ? DEFT_OK : deft_fail(err, DEFT_E_FORMAT, "checkpoint: a count is out of range");
}

/* n_row rows, the last of which is number head - 1. */
static deft_status load_rows(deft_trainer *t, const char *rows, int64_t n_row, deft_error *err)
{
    deft_replay *r = &t->replay;
    const size_t floats = r->stride * sizeof(float);
    const int64_t head = r->head, want = head < r->capacity ? head : r->capacity;
    if (head < 0 || n_row != want) {
        return deft_fail(err, DEFT_E_FORMAT, "checkpoint: %lld rows of experience instead of %lld",
                         (long long)n_row, (long long)want);
    }
    for (int64_t i = 0; i < n_row; i++) {
        const int64_t number = head - n_row + i, slot = number % r->capacity;
        int64_t previous;
        memcpy(r->row + (size_t)slot * r->stride, rows, floats);
        memcpy(&previous, rows + floats, sizeof previous);
        rows += floats + sizeof previous;
        if (previous < -1 || previous >= number) {
            return deft_fail(err, DEFT_E_FORMAT, "checkpoint: row %lld follows row %lld",
                             (long long)number, (long long)previous);
        }
        r->next[slot] = -1;
        r->previous[slot] = previous;
        if (previous >= 0 && previous > number - r->capacity) {
            r->next[previous % r->capacity] = number;
        }
    }
    return DEFT_OK;
}

/* Repeats the lane's running episode. feature: room for the lane's features and state. */
static deft_status repeat(deft_trainer *t, deft_lane *l, float *feature, deft_error *err)
{
    const size_t n_feature = (size_t)t->n_feature, n_state = (size_t)t->encoder.n_state;
    const int32_t lane = (int32_t)(l - t->lane), steps = l->step;
    const deft_lane keep = *l;
    if (steps < 0 || steps >= t->max_steps || l->last_row < -1 || l->last_row >= t->replay.head ||
        l->episode < 0 || l->episode > INT64_C(1) << 39) {
        return deft_fail(err, DEFT_E_FORMAT, "checkpoint: environment %d is out of range", lane);
    }
    memcpy(feature, l->feature, n_feature * sizeof *feature);
    if (n_state) memcpy(feature + n_feature, l->state, n_state * sizeof *feature);
    deft_status s = deft_lane_begin(t, l, err);
    for (int32_t k = 0; s == DEFT_OK && k < steps; k++) {
        deft_env_step_result r;
        const float *const act = l->taken + (int64_t)k * t->n_act;
        deft_trainer_to_env(t, act, t->applied);
        s = deft_env_step(l->env, t->applied, l->obs, &r, err);
        memcpy(l->prev_act, act, (size_t)t->n_act * sizeof *act);
        if (s == DEFT_OK) deft_lane_encode(t, l, false);
    }
    if (s != DEFT_OK) return s;
    l->step = keep.step;
    l->reward = keep.reward;
    l->heading = keep.heading;
    l->torque = keep.torque;
    l->current = keep.current;
    // An encoder that learns was another one then: its inputs must be the same.
    const size_t same = t->learner ? (size_t)t->encoder.n_in : n_feature;
    if (memcmp(feature, l->feature, same * sizeof *feature) == 0) {
        if (t->learner) {
            memcpy(l->feature, feature, n_feature * sizeof *feature);
            memcpy(l->state, feature + n_feature, n_state * sizeof *feature);
        }
        return DEFT_OK;
    }
    return deft_fail(err, DEFT_E_MISMATCH,
                     "checkpoint: environment %d is not what it was %d steps into its episode: "
                     "another scene, option or version of the physics",
                     lane, (int)steps);
}

deft_status deft_trainer_state_load(deft_trainer *t, const void *state, size_t size,
                                    const void *rows, int64_t n_row, deft_error *err)
{
    cursor count = {0};
    move_all(t, &count);
    if (size != count.used) {
        return deft_fail(err, DEFT_E_FORMAT,
                         "checkpoint: %zu bytes of state where this configuration has %zu", size,
                         count.used);
    }
    char *copy = malloc(size);
    float *feature = malloc((size_t)(t->n_feature + t->encoder.n_state) * sizeof *feature);
    deft_status s = DEFT_OK;
    if (!copy || !feature) {
        s = deft_fail(err, DEFT_E_SPACE, "no memory to resume");
    } else {
        memcpy(copy, state, size);
        cursor c = {.at = copy, .load = true};
        move_all(t, &c);
        s = check_numbers(t, err);
        if (s == DEFT_OK) s = load_rows(t, rows, n_row, err);
        if (s == DEFT_OK && t->prepared && !deft_replay_ready(&t->replay)) {
            s = deft_fail(err, DEFT_E_FORMAT, "checkpoint: no experience to learn from");
        }
    }
    for (int32_t i = 0; s == DEFT_OK && i < t->n_lane; i++) {
        s = repeat(t, &t->lane[i], feature, err);
    }
    free(copy);
    free(feature);
    return s;
}
