/* trainer_learn.c - the learner's side of training, and what follows the warm-up. */
#include "train/trainer_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void draw(deft_rng *rng, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)deft_rng_normal(rng);
}

static void draw_mask(deft_trainer *t)
{
    const size_t n = deft_agent_mask_size(t->agent);
    const float p = (float)t->cfg.critic_dropout, keep = 1 / (1 - p);
    for (size_t i = 0; i < n; i++) {
        t->mask[i] = deft_rng_uniform(&t->rng, 0, 1) < (double)p ? 0 : keep;
    }
}

void deft_trainer_learn(deft_trainer *t)
{
    const size_t noise = (size_t)t->rows * (size_t)t->n_act;
    deft_batch b = {.obs = t->batch.feature,
                    .act = t->batch.act,
                    .reward = t->batch.reward,
                    .next_obs = t->batch.next_feature,
                    .discount = t->batch.discount,
                    .noise = t->noise,
                    .noise2 = t->noise2,
                    .mask = t->cfg.critic_dropout > 0 ? t->mask : NULL};
    double critic = 0, actor = 0, alpha = 0, q = 0, log_prob = 0;
    int64_t actor_steps = 0;
    for (int64_t u = 0; u < t->round_updates; u++) {
        if (t->learner) {
            deft_trainer_encoded_batch(t, &b);
        } else {
            deft_replay_sample(&t->replay, &t->rng, (float)t->cfg.gamma, t->cfg.n_step, &t->batch);
        }
        draw(&t->rng, t->noise, noise);
        if (t->noise2) draw(&t->rng, t->noise2, noise);
        if (b.mask) draw_mask(t);
        deft_agent_losses l;
        deft_agent_step(t->agent, &b, &l);
        if (t->learner) deft_trainer_encoder_step(t, l.actor_stepped);
        critic += (double)l.critic;
        q += (double)l.q;
        alpha += (double)l.alpha;
        log_prob += (double)l.log_prob;
        actor += l.actor_stepped ? (double)l.actor : 0;
        actor_steps += l.actor_stepped;
    }
    if (t->round_updates == 0) return;
    const double n = (double)t->round_updates;
    t->report.critic_loss = (float)(critic / n);
    t->report.q = (float)(q / n);
    t->report.alpha = (float)(alpha / n);
    t->report.log_prob = (float)(log_prob / n);
    t->report.actor_loss = actor_steps ? (float)(actor / (double)actor_steps) : 0;
    t->update += t->round_updates;
}

void deft_trainer_observed(const deft_trainer *t, float *offset, float *scale)
{
    const int64_t from = t->encoder.previous ? t->n_act : 0, rows = t->replay.head;
    for (int64_t i = 0; i < t->n_obs; i++) {
        double sum = 0, square = 0;
        for (int64_t r = 0; r < rows; r++) {
            const double v = (double)deft_replay_row(&t->replay, r)[from + i];
            sum += v;
            square += v * v;
        }
        const double mean = sum / (double)rows;
        const double var = square / (double)rows - mean * mean;
        offset[i] = (float)mean;
        scale[i] = (float)(1 / sqrt(var > 1e-8 ? var : 1e-8));
    }
}

/* Features of every row anew, episode by episode. Rows keep their input x = previous action and
 * observation; a stack keeps it last, the others first. */
static deft_status encode_again(deft_trainer *t, bool normalize, deft_error *err)
{
    const size_t m = (size_t)t->n_act, n = (size_t)t->n_obs, in = (size_t)t->encoder.n_in;
    const size_t at = t->encoder.kind == DEFT_ENCODER_STACK ? (size_t)t->n_feature - in : 0;
    float *x = malloc((in + (size_t)t->encoder.n_state) * sizeof *x);
    if (!x) return deft_fail(err, DEFT_E_SPACE, "no memory to encode again");
    float *state = x + in;
    for (int64_t r = 0; r < t->replay.head; r++) {
        if (t->replay.previous[r] >= 0) continue;
        memset(state, 0, (size_t)t->encoder.n_state * sizeof *state);
        for (int64_t k = r; k >= 0; k = t->replay.next[k]) {
            float *row = t->replay.row + (size_t)k * t->replay.stride;
            memcpy(x, row + at, in * sizeof *x);
            float *obs = x + (t->encoder.previous ? m : 0);
            for (size_t i = 0; normalize && i < n; i++) {
                obs[i] = (obs[i] - t->normalizer.offset[i]) * t->normalizer.scale[i];
            }
            deft_encoder_step(&t->encoder, obs, x, k == r,
                              &(deft_encoder_memory){state, row, t->scratch});
        }
    }
    free(x);
    return DEFT_OK;
}

/* The running episodes' state and present features, by their rows and the present observation. */
static void encode_lane_again(deft_trainer *t, deft_lane *l, bool normalize)
{
    const deft_encoder_memory memory = {l->state, l->feature, t->scratch};
    int64_t row = l->last_row;
    while (row >= 0 && t->replay.previous[row] >= 0) row = t->replay.previous[row];
    if (t->encoder.n_state) memset(l->state, 0, (size_t)t->encoder.n_state * sizeof(float));
    const size_t m = (size_t)t->n_act, in = (size_t)t->encoder.n_in;
    const size_t at = t->encoder.kind == DEFT_ENCODER_STACK ? (size_t)t->n_feature - in : 0;
    bool first = true;
    for (; row >= 0; row = t->replay.next[row], first = false) {
        const float *x = deft_replay_row(&t->replay, row) + at; // normalised already
        deft_encoder_step(&t->encoder, x + (t->encoder.previous ? m : 0), x, first, &memory);
    }
    for (int64_t i = 0; normalize && i < t->n_obs; i++) {
        l->obs[i] = (l->obs[i] - t->normalizer.offset[i]) * t->normalizer.scale[i];
    }
    deft_encoder_step(&t->encoder, l->obs, l->prev_act, first, &memory);
}

static deft_status encode_all_again(deft_trainer *t, bool normalize, deft_error *err)
{
    const deft_status s = encode_again(t, normalize, err);
    for (int32_t i = 0; s == DEFT_OK && i < t->n_lane; i++) {
        encode_lane_again(t, &t->lane[i], normalize);
    }
    return s;
}

deft_status deft_trainer_prepare(deft_trainer *t, deft_error *err)
{
    t->prepared = true;
    const bool normalize = t->cfg.normalize && !t->normalizer.on; // on: as the warm start has it
    const bool pretrain = t->cfg.encoder_mode == DEFT_ENCODER_PRETRAINED && !t->warm_started;
    if ((normalize || pretrain) && t->replay.head > t->replay.capacity) {
        return deft_fail(err, DEFT_E_ARG,
                         "training: a replay buffer of %lld rows does not hold the warm-up, which "
                         "has %lld, ends of episodes included",
                         (long long)t->replay.capacity, (long long)t->replay.head);
    }
    if (normalize) {
        deft_trainer_observed(t, t->normalizer.offset, t->normalizer.scale);
        t->normalizer.on = true;
        const deft_status s = encode_all_again(t, true, err);
        if (s != DEFT_OK || !pretrain) return s;
    }
    if (!pretrain) return DEFT_OK;
    const deft_status s = deft_trainer_pretrain(t, err);
    return s == DEFT_OK ? encode_all_again(t, false, err) : s;
}
