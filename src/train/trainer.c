/* trainer.c - environments and learner side by side, on a schedule that does not depend on how fast
 * either is: in every round the environments act with the policy from its start, while the learner
 * takes its steps on what had been experienced by then. */
#include "train/trainer_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static deft_status check_mode(const deft_trainer *t, deft_error *err)
{
    const deft_train_config *c = &t->cfg;
    if (c->encoder_mode == DEFT_ENCODER_FROZEN) return DEFT_OK;
    if (!deft_encoder_learns(&t->encoder)) {
        return deft_fail(err, DEFT_E_ARG,
                         "training: encoder %s has nothing to learn; gru, lstm "
                         "and mlp have",
                         c->encoder);
    }
    if (c->batch < c->sequence) {
        return deft_fail(err, DEFT_E_ARG, "training: a batch of %d holds no sequence of %d",
                         (int)c->batch, (int)c->sequence);
    }
    if (c->encoder_mode == DEFT_ENCODER_TRAINED && c->n_step > 1) {
        return deft_fail(err, DEFT_E_ARG, "training: a trained encoder goes with n_step 1");
    }
    return DEFT_OK;
}

static bool pick(const char *name, const char *const *list, int *out)
{
    for (int i = 0; list[i]; i++) {
        if (name && strcmp(name, list[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* At least the multiplications of any product to come. */
static int64_t largest_product(const deft_trainer *t)
{
    const deft_train_config *const c = &t->cfg;
    int64_t width = t->n_feature + t->n_act;
    for (int i = 0; i < DEFT_TRAIN_HIDDEN; i++) {
        if (c->hidden[i] > width) width = c->hidden[i];
        if (c->critic_hidden[i] > width) width = c->critic_hidden[i];
    }
    if (t->encoder.kind != DEFT_ENCODER_NONE && 4 * (int64_t)c->encoder_hidden > width) {
        width = 4 * (int64_t)c->encoder_hidden; // gates
    }
    const int64_t rows = c->batch + c->batch / c->sequence * c->burn_in;
    return (rows > c->envs ? rows : c->envs) * width * width;
}

/* Critics are worth a thread of their own from some tens of microseconds of work on: a thread that
 * waits is woken in as many. The result is the same. */
static bool critics_apart(const deft_trainer *t)
{
    enum { WORTH_IT = 1 << 20 }; // multiplications of a forward pass
    const deft_train_config *const c = &t->cfg;
    const bool own = c->n_critic_hidden > 0; // else as the actor's
    const int32_t n = own ? c->n_critic_hidden : c->n_hidden;
    int64_t before = t->n_feature + t->n_act, all = 0;
    for (int32_t i = 0; i < n; i++) {
        const int64_t width = own ? c->critic_hidden[i] : c->hidden[i];
        all += before * width;
        before = width;
    }
    return c->threads > 2 && all * t->rows >= WORTH_IT;
}

static const char *const units[] = {"linear", "relu", "tanh", "elu", NULL};

static deft_status make_agent(deft_trainer *t, deft_error *err)
{
    static const char *const algos[] = {"td3", "sac", NULL};
    const deft_train_config *c = &t->cfg;
    deft_agent_config a = {.n_obs = (int)t->n_feature,
                           .n_act = (int)t->n_act,
                           .rows = t->rows,
                           .n_encoded =
                               c->encoder_mode == DEFT_ENCODER_TRAINED ? c->encoder_hidden : 0,
                           .n_hidden = c->n_hidden,
                           .n_critic_hidden = c->n_critic_hidden,
                           .critic_norm = c->critic_norm,
                           .critic_dropout = (float)c->critic_dropout,
                           .actor_rate = (float)c->actor_rate,
                           .critic_rate = (float)c->critic_rate,
                           .alpha_rate = (float)c->alpha_rate,
                           .tau = (float)c->tau,
                           .policy_delay = c->policy_delay,
                           .target_noise = (float)c->target_noise,
                           .noise_clip = (float)c->noise_clip,
                           .target_entropy = (float)c->target_entropy,
                           .alpha = (float)c->alpha,
                           .fixed_alpha = c->fixed_alpha,
                           .two_threads = critics_apart(t)};
    int algo, unit;
    if (!pick(c->algo, algos, &algo))
        return deft_fail(err, DEFT_E_ARG, "training: algo is td3 or sac");
    if (!pick(c->activation, units, &unit)) {
        return deft_fail(err, DEFT_E_ARG, "training: activation is relu, tanh or elu");
    }
    a.algo = (deft_algo)algo;
    a.unit = (deft_unit)unit;
    for (int i = 0; i < DEFT_TRAIN_HIDDEN; i++) {
        a.hidden[i] = c->hidden[i];
        a.critic_hidden[i] = c->critic_hidden[i];
    }
    const deft_status s = deft_agent_create(&a, &t->ops, &t->agent, err);
    if (s == DEFT_OK) deft_agent_init(t->agent, &t->rng);
    return s;
}

static deft_status make_encoder(deft_trainer *t, deft_error *err)
{
    static const char *const kinds[] = {"none", "gru", "lstm", "stack", "mlp", NULL};
    const deft_train_config *c = &t->cfg;
    int kind, unit = DEFT_UNIT_RELU;
    (void)pick(c->activation, units, &unit); // another one: the agent says so
    if (!pick(c->encoder, kinds, &kind)) {
        return deft_fail(err, DEFT_E_ARG, "training: encoder is none, gru, lstm, stack or mlp");
    }
    t->encoder = (deft_encoder){.kind = (deft_encoder_kind)kind,
                                .n_obs = t->spec->n_obs,
                                .n_act = t->spec->n_act,
                                .previous = c->previous_action,
                                .n_layer = c->encoder_layers,
                                .hidden = c->encoder_hidden,
                                .unit = (deft_unit)unit,
                                .depth = c->stack_depth};
    deft_status s = deft_encoder_init(&t->encoder, err);
    if (s == DEFT_OK) s = check_mode(t, err);
    if (s != DEFT_OK) return s;
    deft_encoder_randomize(&t->encoder, &t->rng);
    t->n_feature = t->encoder.n_feature;
    t->rows =
        c->encoder_mode == DEFT_ENCODER_TRAINED ? c->batch / c->sequence * c->sequence : c->batch;
    return DEFT_OK;
}

/* calloc that remembers failure. */
static float *floats(size_t n, bool *ok)
{
    float *p = calloc(n ? n : 1, sizeof *p);
    if (!p) *ok = false;
    return p;
}

static bool allocate(deft_trainer *t)
{
    bool ok = true;
    const size_t rows = (size_t)t->rows, n = (size_t)t->n_feature, m = (size_t)t->n_act;
    const size_t state = (size_t)t->encoder.n_state, lanes = (size_t)t->n_lane;
    t->batch = (deft_replay_batch){t->rows,           floats(rows * n, &ok), floats(rows * m, &ok),
                                   floats(rows, &ok), floats(rows * n, &ok), floats(rows, &ok)};
    t->noise = floats(rows * m, &ok);
    if (strcmp(t->cfg.algo, "sac") == 0) t->noise2 = floats(rows * m, &ok);
    t->mask = floats(deft_agent_mask_size(t->agent), &ok);
    t->lane_feature = floats(lanes * n, &ok);
    t->lane_noise = floats(lanes * m, &ok);
    t->lane_act = floats(lanes * m, &ok);
    t->applied = floats(m, &ok);
    t->scratch = floats(8 * (size_t)t->encoder.hidden, &ok);
    t->normalizer.offset = floats((size_t)t->n_obs, &ok);
    t->normalizer.scale = floats((size_t)t->n_obs, &ok);
    t->best_param = floats((size_t)deft_net_params(deft_agent_actor_net(t->agent)), &ok);
    t->eval_memory = floats((size_t)t->n_obs + 3 * m + n + state, &ok);
    // An episode takes at least one step, so a round ends at most round of them in a lane.
    t->episode_capacity = t->n_lane * t->cfg.round;
    t->episode = calloc((size_t)t->episode_capacity, sizeof *t->episode);
    t->lane = calloc(lanes, sizeof *t->lane);
    if (!t->episode || !t->lane) return false;
    for (int32_t i = 0; i < t->n_lane; i++) {
        deft_lane *l = &t->lane[i];
        l->obs = floats((size_t)t->n_obs, &ok);
        l->prev_act = floats(m, &ok);
        l->state = floats(state, &ok);
        l->feature = floats(n, &ok);
        l->taken = floats((size_t)t->max_steps * m, &ok);
        l->staged = floats(2 * (size_t)t->cfg.round * t->replay.stride, &ok);
        l->last_row = -1;
    }
    return ok;
}

static deft_status start_lanes(deft_trainer *t, const deft_env *env, deft_error *err)
{
    deft_status s = deft_train_eval_env(&t->cfg, env, &t->eval_env, err);
    if (s == DEFT_OK) t->spec = deft_env_get_spec(t->eval_env); // env is the caller's
    for (int32_t i = 0; s == DEFT_OK && i < t->n_lane; i++) {
        deft_lane *l = &t->lane[i];
        deft_rng_seed_stream(&l->rng, t->cfg.seed ^ 0x65786370u, (uint64_t)i);
        s = deft_env_clone(env, &l->env, err);
        if (s == DEFT_OK) s = deft_lane_begin(t, l, err);
    }
    return s;
}

static deft_status make_learner(deft_trainer *t, deft_error *err)
{
    t->learner = calloc(1, sizeof *t->learner);
    if (!t->learner) return deft_fail(err, DEFT_E_SPACE, "no memory for training");
    return deft_encoder_learner_create(t, t->learner, err);
}

static deft_status build(deft_trainer *t, const deft_env *env, deft_error *err)
{
    deft_status s = deft_blas_create(NULL, &t->blas, err);
    if (s != DEFT_OK) return s;
    t->ops = (deft_train_ops){t->blas, deft_vec_best()};
    s = make_encoder(t, err);
    if (s == DEFT_OK) s = deft_blas_reserve(t->blas, largest_product(t), t->cfg.threads, err);
    if (s == DEFT_OK) s = make_agent(t, err);
    if (s != DEFT_OK) return s;
    // All rows of the run or of its warm-up, with up to one tail row a step. What no row has
    // touched costs nothing.
    const int64_t steps = t->cfg.steps > t->cfg.warmup ? t->cfg.steps : t->cfg.warmup;
    const int64_t all = 2 * (steps + 2 * (int64_t)t->cfg.envs * t->cfg.round);
    const int64_t rows = t->cfg.replay ? t->cfg.replay : all;
    s = deft_replay_init(&t->replay, (int)t->n_feature, (int)t->n_act, rows, err);
    if (s != DEFT_OK) return s;
    if (!allocate(t)) return deft_fail(err, DEFT_E_SPACE, "no memory for training");
    s = deft_actor_create(t->agent, t->n_lane, &t->actor, err);
    if (s == DEFT_OK) s = deft_actor_create(t->agent, 1, &t->eval_actor, err);
    if (s == DEFT_OK && t->cfg.encoder_mode == DEFT_ENCODER_TRAINED) s = make_learner(t, err);
    if (s == DEFT_OK && t->cfg.threads > 1) s = deft_pair_create(&t->pair, err);
    if (s == DEFT_OK) s = start_lanes(t, env, err);
    return s;
}

deft_status deft_trainer_create(const deft_train_config *cfg, const deft_env *env,
                                deft_trainer **out, deft_error *err)
{
    *out = NULL;
    deft_status s = deft_train_check(cfg, err);
    if (s != DEFT_OK) return s;
    deft_trainer *t = calloc(1, sizeof *t);
    if (!t) return deft_fail(err, DEFT_E_SPACE, "no memory for training");
    t->cfg = *cfg;
    t->spec = deft_env_get_spec(env);
    t->n_obs = t->spec->n_obs;
    t->n_act = t->spec->n_act;
    t->max_steps = t->spec->max_steps;
    t->n_lane = cfg->envs;
    t->next_eval = cfg->warmup;
    deft_rng_seed(&t->rng, cfg->seed);
    s = build(t, env, err);
    if (s != DEFT_OK) {
        deft_trainer_destroy(t);
        return s;
    }
    *out = t;
    return DEFT_OK;
}

static void free_lane(deft_lane *l)
{
    deft_env_destroy(l->env);
    free(l->obs);
    free(l->prev_act);
    free(l->state);
    free(l->feature);
    free(l->taken);
    free(l->staged);
}

void deft_trainer_destroy(deft_trainer *t)
{
    if (!t) return;
    deft_pair_destroy(t->pair);
    deft_actor_destroy(t->actor);
    deft_actor_destroy(t->eval_actor);
    deft_agent_destroy(t->agent);
    deft_encoder_free(&t->encoder);
    if (t->learner) free(t->learner->memory);
    free(t->learner);
    deft_replay_free(&t->replay);
    for (int32_t i = 0; t->lane && i < t->n_lane; i++) free_lane(&t->lane[i]);
    deft_env_destroy(t->eval_env);
    float *const mine[] = {t->batch.feature,    t->batch.act,
                           t->batch.reward,     t->batch.next_feature,
                           t->batch.discount,   t->noise,
                           t->noise2,           t->mask,
                           t->lane_feature,     t->lane_noise,
                           t->lane_act,         t->applied,
                           t->scratch,          t->normalizer.offset,
                           t->normalizer.scale, t->best_param,
                           t->eval_memory};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) free(mine[i]);
    free(t->lane);
    free(t->episode);
    deft_blas_destroy(t->blas);
    free(t);
}

static void side(void *user, int k)
{
    deft_trainer *t = user;
    if (k == 0) {
        deft_trainer_learn(t);
    } else {
        deft_trainer_collect(t);
    }
}

/* What the lanes staged goes to the buffer, lane after lane. */
static void commit(deft_trainer *t)
{
    const size_t n = (size_t)t->n_feature, m = (size_t)t->n_act;
    for (int32_t i = 0; i < t->n_lane; i++) {
        deft_lane *l = &t->lane[i];
        for (int32_t k = 0; k < l->n_staged; k++) {
            const float *p = l->staged + (size_t)k * t->replay.stride;
            const deft_replay_end end = (deft_replay_end)p[n + m + 1];
            const bool tail = end == DEFT_REPLAY_TAIL;
            const int64_t row = deft_replay_append(&t->replay, l->last_row, p, tail ? NULL : p + n);
            if (!tail) deft_replay_outcome(&t->replay, row, p[n + m], end);
            l->last_row = tail ? -1 : row;
        }
    }
}

/* What acts until the next snapshot: the policy of now. */
static void take_snapshots(deft_trainer *t)
{
    if (t->learner) {
        memcpy(t->encoder.param, t->learner->param, (size_t)t->encoder.n_param * sizeof(float));
    }
    deft_actor_update(t->actor, t->agent);
    deft_actor_update(t->eval_actor, t->agent);
}

/* Between rounds: when the warm-up is over, every so often from then on, and at the end. */
static bool evaluation_is_due(const deft_trainer *t)
{
    return t->cfg.eval_every > 0 && (t->step >= t->next_eval || t->step >= t->cfg.steps);
}

int32_t deft_trainer_round(deft_trainer *t, deft_train_report *out, deft_error *err)
{
    t->report = (deft_train_report){.episode = t->episode};
    t->error = (deft_error){0};
    if (!t->prepared && t->step >= t->cfg.warmup && deft_replay_ready(&t->replay)) {
        const deft_status s = deft_trainer_prepare(t, err);
        if (s != DEFT_OK) return s;
    }
    const int64_t steps = (int64_t)t->cfg.round * t->n_lane;
    t->round_updates = 0;
    if (t->prepared) {
        t->update_debt += (double)steps * t->cfg.updates;
        t->round_updates = (int64_t)t->update_debt;
        t->update_debt -= (double)t->round_updates;
    }
    take_snapshots(t);
    if (t->pair) {
        deft_pair_run(t->pair, side, t);
    } else {
        side(t, 0);
        side(t, 1);
    }
    if (t->error.status == DEFT_OK) {
        commit(t);
        t->step += steps;
        t->report.step = t->step;
        t->report.update = t->update;
        if (evaluation_is_due(t)) {
            take_snapshots(t);
            deft_trainer_evaluate(t);
        }
    }
    if (t->error.status != DEFT_OK) {
        if (err) *err = t->error;
        return t->error.status;
    }
    *out = t->report;
    return t->step >= t->cfg.steps ? 1 : 0;
}

void deft_trainer_on_pulse(deft_trainer *t, int (*pulse)(void *user, int64_t step), void *user)
{
    t->pulse = pulse;
    t->pulse_user = user;
}

const char *deft_trainer_blas_core(const deft_trainer *t)
{
    return deft_blas_core(t->blas);
}
