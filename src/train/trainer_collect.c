/* trainer_collect.c - the environments' side of training. */
#include "train/trainer_private.h"

#include <math.h>
#include <string.h>

uint64_t deft_trainer_episode_seed(const deft_trainer *t, int32_t lane, int64_t episode)
{
    deft_rng r;
    deft_rng_seed_stream(&r, t->cfg.seed, ((uint64_t)lane << 40) + (uint64_t)episode + 1);
    return deft_rng_u64(&r);
}

void deft_trainer_to_env(const deft_trainer *t, const float *act, float *out)
{
    for (int64_t i = 0; i < t->n_act; i++) {
        const float lo = t->spec->act_lo[i], hi = t->spec->act_hi[i];
        out[i] = lo + (act[i] + 1) * 0.5f * (hi - lo);
    }
}

static void normalize(const deft_trainer *t, float *obs)
{
    if (!t->normalizer.on) return;
    for (int64_t i = 0; i < t->n_obs; i++) {
        obs[i] = (obs[i] - t->normalizer.offset[i]) * t->normalizer.scale[i];
    }
}

void deft_lane_encode(deft_trainer *t, deft_lane *l, bool first)
{
    normalize(t, l->obs);
    deft_encoder_step(&t->encoder, l->obs, l->prev_act, first,
                      &(deft_encoder_memory){l->state, l->feature, t->scratch});
}

deft_status deft_lane_begin(deft_trainer *t, deft_lane *l, deft_error *err)
{
    const uint64_t seed = deft_trainer_episode_seed(t, (int32_t)(l - t->lane), l->episode);
    const deft_status s = deft_env_reset(l->env, &seed, l->obs, err);
    if (s != DEFT_OK) return s;
    l->step = 0;
    l->reward = l->heading = l->torque = l->current = 0;
    memset(l->prev_act, 0, (size_t)t->n_act * sizeof(float));
    if (t->encoder.n_state) memset(l->state, 0, (size_t)t->encoder.n_state * sizeof(float));
    deft_lane_encode(t, l, true);
    return DEFT_OK;
}

static void record(deft_trainer *t, deft_lane *l, const float *act, float reward,
                   deft_replay_end end)
{
    float *p = l->staged + (size_t)l->n_staged++ * t->replay.stride;
    memcpy(p, l->feature, (size_t)t->n_feature * sizeof *p);
    if (act) memcpy(p + t->n_feature, act, (size_t)t->n_act * sizeof *p);
    p[t->n_feature + t->n_act] = reward;
    p[t->n_feature + t->n_act + 1] = (float)end;
}

static void finish_episode(deft_trainer *t, deft_lane *l, const deft_env_step_result *r)
{
    if (t->report.n_episode == t->episode_capacity) return; // not reached: see its allocation
    const double n = l->step;
    t->episode[t->report.n_episode++] = (deft_train_episode){
        .reward = l->reward,
        .steps = l->step,
        .metrics = {r->metrics.distance_cm, l->heading / n, l->torque / n, l->current / n},
        .terminated = r->terminated};
    l->episode++;
}

/* The physics diverged: what was reached before is the end, as where time is over. */
static deft_status give_up_episode(deft_trainer *t, deft_lane *l, deft_error *err)
{
    *err = (deft_error){DEFT_OK, ""};
    record(t, l, NULL, 0, DEFT_REPLAY_TAIL);
    l->episode++;
    return deft_lane_begin(t, l, err);
}

/* act [n_act] in [-1, 1]. */
static deft_status lane_step(deft_trainer *t, deft_lane *l, const float *act, deft_error *err)
{
    memcpy(l->taken + (int64_t)l->step * t->n_act, act, (size_t)t->n_act * sizeof *act);
    deft_trainer_to_env(t, act, t->applied);
    deft_env_step_result r;
    const deft_status s = deft_env_step(l->env, t->applied, l->obs, &r, err);
    if (s == DEFT_E_RANGE && l->step > 0) return give_up_episode(t, l, err);
    if (s != DEFT_OK) return s;
    const deft_replay_end end = r.terminated  ? DEFT_REPLAY_TERMINATED
                                : r.truncated ? DEFT_REPLAY_TRUNCATED
                                              : DEFT_REPLAY_GOES_ON;
    record(t, l, act, (float)r.reward, end);
    l->step++;
    l->reward += r.reward;
    l->heading += r.metrics.heading_error_rad;
    l->torque += r.metrics.torque;
    l->current += r.metrics.current_a;
    memcpy(l->prev_act, act, (size_t)t->n_act * sizeof *act);
    deft_lane_encode(t, l, false);
    if (end == DEFT_REPLAY_GOES_ON) return DEFT_OK;
    record(t, l, NULL, 0, DEFT_REPLAY_TAIL);
    finish_episode(t, l, &r);
    return deft_lane_begin(t, l, err);
}

static float clamp1(float v)
{
    return v < -1 ? -1 : v > 1 ? 1 : v;
}

static bool check_actions(deft_trainer *t, const float *act, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (isfinite(act[i])) continue;
        (void)deft_fail(&t->error, DEFT_E_RANGE,
                        "training diverged: after %lld steps the actor's output is not finite; a "
                        "lower --rate, --critic-norm or --normalize may help",
                        (long long)t->step);
        return false;
    }
    return true;
}

/* Actions of all lanes for their present features. */
static void act_lanes(deft_trainer *t)
{
    const size_t n = (size_t)t->n_feature, m = (size_t)t->n_act;
    const bool warmup = !t->prepared, sac = strcmp(t->cfg.algo, "sac") == 0;
    for (int32_t i = 0; i < t->n_lane; i++) {
        deft_lane *l = &t->lane[i];
        memcpy(t->lane_feature + (size_t)i * n, l->feature, n * sizeof(float));
        for (size_t k = 0; k < m; k++) {
            t->lane_noise[(size_t)i * m + k] =
                (float)(warmup ? deft_rng_uniform(&l->rng, -1, 1) : deft_rng_normal(&l->rng));
        }
    }
    if (warmup) {
        memcpy(t->lane_act, t->lane_noise, (size_t)t->n_lane * m * sizeof(float));
        return;
    }
    deft_actor_act(t->actor, t->lane_feature, t->lane_noise, t->lane_act);
    if (!check_actions(t, t->lane_act, (size_t)t->n_lane * m)) return;
    const float sd = (float)t->cfg.exploration_noise;
    for (size_t i = 0; !sac && i < (size_t)t->n_lane * m; i++) {
        t->lane_act[i] = clamp1(t->lane_act[i] + sd * t->lane_noise[i]);
    }
}

void deft_trainer_collect(deft_trainer *t)
{
    for (int32_t i = 0; i < t->n_lane; i++) t->lane[i].n_staged = 0;
    for (int32_t k = 0; k < t->cfg.round && t->error.status == DEFT_OK; k++) {
        act_lanes(t);
        for (int32_t i = 0; i < t->n_lane && t->error.status == DEFT_OK; i++) {
            const int32_t before = t->report.n_episode;
            (void)lane_step(t, &t->lane[i], t->lane_act + i * t->n_act, &t->error);
            if (t->report.n_episode > before) {
                t->episode[before].step = t->step + (int64_t)k * t->n_lane + i + 1;
            }
        }
    }
}

/* One episode by the mean action. */
static deft_status evaluate_episode(deft_trainer *t, int32_t number, double *reward,
                                    double *distance)
{
    const size_t n = (size_t)t->n_obs, m = (size_t)t->n_act;
    float *obs = t->eval_memory, *prev = obs + n, *act = prev + m, *applied = act + m;
    float *feature = applied + m, *state = feature + t->n_feature;
    const deft_encoder_memory memory = {state, feature, t->scratch};
    deft_rng r;
    deft_rng_seed_stream(&r, t->cfg.seed ^ 0x6576616cu, (uint64_t)number);
    const uint64_t seed = deft_rng_u64(&r);
    deft_status s = deft_env_reset(t->eval_env, &seed, obs, &t->error);
    memset(prev, 0, m * sizeof *prev);
    if (t->encoder.n_state) memset(state, 0, (size_t)t->encoder.n_state * sizeof *state);
    deft_env_step_result out = {0};
    *reward = *distance = 0;
    for (bool first = true; s == DEFT_OK; first = false) {
        normalize(t, obs);
        deft_encoder_step(&t->encoder, obs, prev, first, &memory);
        deft_actor_act(t->eval_actor, feature, NULL, act);
        if (!check_actions(t, act, m)) return t->error.status;
        deft_trainer_to_env(t, act, applied);
        s = deft_env_step(t->eval_env, applied, obs, &out, &t->error);
        if (s == DEFT_E_RANGE && !first) { // as while collecting: the episode ends before it
            t->error = (deft_error){DEFT_OK, ""};
            return DEFT_OK;
        }
        memcpy(prev, act, m * sizeof *prev);
        *reward += out.reward;
        *distance = out.metrics.distance_cm;
        if (out.terminated || out.truncated) break;
    }
    return s;
}

void deft_trainer_evaluate(deft_trainer *t)
{
    const int32_t n = t->cfg.eval_episodes;
    double sum = 0, square = 0, distance = 0;
    for (int32_t i = 0; i < n; i++) {
        double reward, cm;
        if (evaluate_episode(t, i, &reward, &cm) != DEFT_OK) return;
        sum += reward;
        square += reward * reward;
        distance += cm;
    }
    const double mean = sum / n, var = n > 1 ? (square - sum * mean) / (n - 1) : 0;
    t->report.evaluated = true;
    t->report.eval_reward = mean;
    t->report.eval_sd = sqrt(var > 0 ? var : 0);
    t->report.eval_distance_cm = distance / n;
    if (t->next_eval <= t->step) {
        const int64_t every = t->cfg.eval_every;
        t->next_eval += ((t->step - t->next_eval) / every + 1) * every;
    }
    // a random policy is none that was trained, however little the trained ones are worth
    if (t->update == 0 && !t->warm_started) return;
    if (t->have_best &&
        !deft_train_better(&t->cfg, mean, distance / n, t->best_reward, t->best_distance)) {
        return;
    }
    t->report.best = t->have_best = true;
    t->best_reward = mean;
    t->best_distance = distance / n;
    deft_actor_param(t->eval_actor, t->best_param);
    if (t->learner) {
        memcpy(t->learner->best, t->encoder.param, (size_t)t->encoder.n_param * sizeof(float));
    }
}
