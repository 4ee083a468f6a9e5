/* trainer_encoder.c - encoders that learn.
 *
 * Pretrained: predicts the next observation from its top layer and the action, on what the warm-up
 * saw; frozen from then on.
 *
 * Trained: end to end, on windows of episodes whose first steps only warm the state up (zero state
 * and burn-in: Kapturowski et al. 2019, R2D2). One encoder serves actor and critics and follows the
 * critics' loss alone; the actor takes its features as given (Yarats et al. 2021, SAC-AE). Ni et
 * al. 2022 found that an encoder under both losses at once fails, and keep two; of which a
 * microcontroller would need but the one, with the other's lessons lost. Targets come from a moving
 * average of the encoder, as from those of the critics. */
#include "train/trainer_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *take(float *mem, size_t *at, size_t count)
{
    float *p = mem ? mem + *at : NULL;
    *at += (count + 15) & ~(size_t)15;
    return p;
}

static size_t layout(const deft_trainer *t, float *mem, deft_encoder_learner *l)
{
    const deft_encoder *e = &t->encoder;
    const int steps = t->cfg.burn_in + t->cfg.sequence + 1;
    const int sequences = t->cfg.batch / t->cfg.sequence;
    const size_t n = (size_t)e->n_param, all = (size_t)steps * (size_t)sequences;
    deft_encoder_learner out = {.rows = sequences * t->cfg.sequence};
    const size_t rows = (size_t)out.rows;
    size_t at = 0;
    out.param = take(mem, &at, n);
    out.moment1 = take(mem, &at, n);
    out.moment2 = take(mem, &at, n);
    out.target = take(mem, &at, n);
    out.best = take(mem, &at, n);
    out.state_floats = at;
    out.grad = take(mem, &at, n);
    out.d_top = take(mem, &at, all * (size_t)e->hidden);
    out.next_policy = take(mem, &at, rows * (size_t)t->n_feature);
    out.windows = (deft_replay_windows){
        sequences, t->cfg.burn_in, t->cfg.sequence, e->n_in, NULL, NULL, NULL, NULL, NULL};
    out.windows.x = take(mem, &at, all * (size_t)e->n_in);
    out.windows.act = take(mem, &at, rows * (size_t)t->n_act);
    out.windows.reward = take(mem, &at, rows);
    out.windows.discount = take(mem, &at, rows);
    out.windows.valid = take(mem, &at, rows);
    at += deft_bptt_layout(e, (const int[]){steps, sequences}, mem ? mem + at : NULL, &out.tape);
    out.tape.from = t->cfg.burn_in;
    if (mem) {
        out.memory = mem;
        *l = out;
    }
    return at;
}

deft_status deft_encoder_learner_create(const deft_trainer *t, deft_encoder_learner *l,
                                        deft_error *err)
{
    const size_t bytes = (layout(t, NULL, NULL) * sizeof(float) + 63) & ~(size_t)63;
    float *memory = aligned_alloc(64, bytes);
    if (!memory) return deft_fail(err, DEFT_E_SPACE, "no memory for an encoder that learns");
    memset(memory, 0, bytes);
    (void)layout(t, memory, l);
    deft_encoder_learner_reset(t, l);
    return DEFT_OK;
}

void deft_encoder_learner_reset(const deft_trainer *t, deft_encoder_learner *l)
{
    const size_t bytes = (size_t)t->encoder.n_param * sizeof(float);
    memcpy(l->param, t->encoder.param, bytes);
    memcpy(l->target, t->encoder.param, bytes);
    memcpy(l->best, t->encoder.param, bytes);
}

static void step_encoder(const deft_trainer *t, deft_encoder_learner *l, float rate)
{
    t->ops.vec->adam(&(deft_adam){rate, 0.9f, 0.999f, 1e-8f, ++l->step}, l->param, l->moment1,
                     l->moment2, l->grad, t->encoder.n_param);
}

/* Features of the learned steps, `later` steps on: inputs, then the top layer. */
static void gather(const deft_trainer *t, const deft_encoder_learner *l, const float *top,
                   int later, float *out)
{
    const size_t in = (size_t)t->encoder.n_in, h = (size_t)t->encoder.hidden;
    const size_t skip = (size_t)(l->windows.burn_in + later) * (size_t)l->windows.sequences;
    const float *x = l->windows.x + skip * in, *y = top + skip * h;
    for (int r = 0; r < l->rows; r++, x += in, y += h, out += in + h) {
        memcpy(out, x, in * sizeof *x);
        memcpy(out + in, y, h * sizeof *y);
    }
}

void deft_trainer_encoded_batch(deft_trainer *t, deft_batch *b)
{
    deft_encoder_learner *l = t->learner;
    const int valid =
        deft_replay_sample_windows(&t->replay, &t->rng, (float)t->cfg.gamma, &l->windows);
    const float weight = (float)l->rows / (float)valid;
    for (int r = 0; r < l->rows; r++) l->windows.valid[r] *= weight;
    const deft_encoder *e = &t->encoder;
    const float *top = deft_bptt_forward(&t->ops, e, l->target, l->windows.x, &l->tape);
    gather(t, l, top, 1, t->batch.next_feature);
    top = deft_bptt_forward(&t->ops, e, l->param, l->windows.x, &l->tape);
    gather(t, l, top, 0, t->batch.feature);
    gather(t, l, top, 1, l->next_policy);
    b->obs = t->batch.feature;
    b->next_obs = t->batch.next_feature;
    b->next_policy_obs = l->next_policy;
    b->act = l->windows.act;
    b->reward = l->windows.reward;
    b->discount = l->windows.discount;
    b->weight = l->windows.valid;
}

void deft_trainer_encoder_step(deft_trainer *t, bool targets)
{
    deft_encoder_learner *l = t->learner;
    const size_t h = (size_t)t->encoder.hidden, n = (size_t)l->rows * h;
    const size_t skip = (size_t)l->windows.burn_in * (size_t)l->windows.sequences * h;
    // The step behind the last one is seen by targets only: its gradient stays zero.
    memcpy(l->d_top + skip, deft_agent_encoded_gradient(t->agent), n * sizeof(float));
    memset(l->grad, 0, (size_t)t->encoder.n_param * sizeof(float));
    deft_bptt_backward(&t->ops, &t->encoder, l->param, l->d_top, &l->tape, l->grad);
    step_encoder(t, l, (float)t->cfg.critic_rate);
    if (targets) {
        t->ops.vec->polyak(l->target, l->param, (float)t->cfg.tau, t->encoder.n_param);
    }
}

/* The linear head of the self-supervised encoder, and what it is to say. */
typedef struct head {
    deft_net net;
    float *param, *moment1, *moment2, *grad; // [n]
    float *input;                            // [rows][H + n_act]
    float *want, *d;                         // [rows][n_obs]
    float *d_input;                          // [rows][H]
    float *offset, *scale;                   // [n_obs] of observations, so that all count alike
    deft_tape tape;
    int64_t step;
    int n;
    float *memory;
} head;

static size_t head_layout(const deft_trainer *t, int n_row, float *mem, head *h)
{
    const size_t rows = (size_t)n_row, n_obs = (size_t)t->n_obs;
    const int in = t->encoder.hidden + (int)t->n_act;
    head out = {.net = {.n_layer = 1, .width = {in, (int)t->n_obs}}};
    out.n = deft_net_params(&out.net);
    size_t at = 0;
    out.param = take(mem, &at, (size_t)out.n);
    out.moment1 = take(mem, &at, (size_t)out.n);
    out.moment2 = take(mem, &at, (size_t)out.n);
    out.grad = take(mem, &at, (size_t)out.n);
    out.input = take(mem, &at, rows * (size_t)in);
    out.want = take(mem, &at, rows * n_obs);
    out.d = take(mem, &at, rows * n_obs);
    out.d_input = take(mem, &at, rows * (size_t)t->encoder.hidden);
    out.offset = take(mem, &at, n_obs);
    out.scale = take(mem, &at, n_obs);
    at += deft_tape_layout(&out.net, n_row, mem ? mem + at : NULL, &out.tape);
    if (mem) {
        out.memory = mem;
        *h = out;
    }
    return at;
}

/* Mean squared error of a batch of windows; with it what the backward pass starts from. */
static double predict(const deft_trainer *t, deft_encoder_learner *l, head *h, int valid)
{
    const size_t n = (size_t)t->n_obs, m = (size_t)t->n_act, top_n = (size_t)t->encoder.hidden;
    const size_t in = (size_t)t->encoder.n_in, first = in - n, rows = (size_t)l->rows;
    const float *top = deft_bptt_forward(&t->ops, &t->encoder, l->param, l->windows.x, &l->tape);
    const size_t skip = (size_t)l->windows.burn_in * (size_t)l->windows.sequences;
    const float *next = l->windows.x + (skip + (size_t)l->windows.sequences) * in + first;
    for (size_t r = 0; r < rows; r++) {
        memcpy(h->input + r * (top_n + m), top + (skip + r) * top_n, top_n * sizeof *top);
        memcpy(h->input + r * (top_n + m) + top_n, l->windows.act + r * m, m * sizeof *top);
        for (size_t i = 0; i < n; i++) {
            h->want[r * n + i] = (next[r * in + i] - h->offset[i]) * h->scale[i];
        }
    }
    const float *y = deft_net_forward(&t->ops, &h->net, h->param, h->input, &h->tape);
    const double count = (double)valid * (double)n;
    double loss = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < n; i++) {
            const float e = l->windows.valid[r] * (y[r * n + i] - h->want[r * n + i]);
            loss += (double)e * (double)e;
            h->d[r * n + i] = (float)(2 * (double)e / count);
        }
    }
    return loss / count;
}

static void learn_to_predict(const deft_trainer *t, deft_encoder_learner *l, head *h)
{
    const size_t top_n = (size_t)t->encoder.hidden;
    const size_t skip = (size_t)l->windows.burn_in * (size_t)l->windows.sequences * top_n;
    const float rate = 1e-3f;
    memset(h->grad, 0, (size_t)h->n * sizeof(float));
    memset(l->grad, 0, (size_t)t->encoder.n_param * sizeof(float));
    deft_net_backward(&t->ops, &h->net, h->param, h->d, &h->tape,
                      &(deft_net_grad){h->grad, h->d_input, 0, t->encoder.hidden});
    memcpy(l->d_top + skip, h->d_input, (size_t)l->rows * top_n * sizeof(float));
    deft_bptt_backward(&t->ops, &t->encoder, l->param, l->d_top, &l->tape, l->grad);
    t->ops.vec->adam(&(deft_adam){rate, 0.9f, 0.999f, 1e-8f, ++h->step}, h->param, h->moment1,
                     h->moment2, h->grad, h->n);
    step_encoder(t, l, rate);
}

/* Mean loss over some batches, the same ones whenever it is asked for. */
static double test_loss(const deft_trainer *t, deft_encoder_learner *l, head *h)
{
    enum { BATCHES = 16 };
    deft_rng rng;
    deft_rng_seed_stream(&rng, t->cfg.seed ^ 0x70726574u, 0);
    double sum = 0;
    for (int i = 0; i < BATCHES; i++) {
        const int valid = deft_replay_sample_windows(&t->replay, &rng, 1, &l->windows);
        sum += predict(t, l, h, valid);
    }
    return sum / BATCHES;
}

deft_status deft_trainer_pretrain(deft_trainer *t, deft_error *err)
{
    deft_encoder_learner l = {.step = 0};
    deft_status s = deft_encoder_learner_create(t, &l, err);
    if (s != DEFT_OK) return s;
    head h = {.step = 0};
    const size_t bytes = (head_layout(t, l.rows, NULL, NULL) * sizeof(float) + 63) & ~(size_t)63;
    float *memory = aligned_alloc(64, bytes);
    if (!memory) {
        free(l.memory);
        return deft_fail(err, DEFT_E_SPACE, "no memory for an encoder that learns");
    }
    memset(memory, 0, bytes);
    (void)head_layout(t, l.rows, memory, &h);
    deft_net_init(&h.net, h.param, &t->rng);
    deft_trainer_observed(t, h.offset, h.scale);
    t->report.pretrained = true;
    t->report.pretrain_before = (float)test_loss(t, &l, &h);
    for (int32_t i = 0; i < t->cfg.pretrain_steps; i++) {
        if (i % 16 == 0 && t->pulse && t->pulse(t->pulse_user, t->step) != 0) {
            s = deft_fail(err, DEFT_E_CANCELLED,
                          "stopped while the encoder was taught; --resume goes on from before");
            break;
        }
        const int valid = deft_replay_sample_windows(&t->replay, &t->rng, 1, &l.windows);
        (void)predict(t, &l, &h, valid);
        learn_to_predict(t, &l, &h);
    }
    if (s == DEFT_OK) {
        t->report.pretrain_after = (float)test_loss(t, &l, &h);
        memcpy(t->encoder.param, l.param, (size_t)t->encoder.n_param * sizeof(float));
    }
    free(memory);
    free(l.memory);
    return s;
}
