/* Encoders through time: what they say equals what a step at a time says; gradients by finite
 * differences; zeros in front change nothing; windows of the replay buffer are what they claim. */
#include "check.h"
#include "train/bptt.h"
#include "train/replay.h"

#include <math.h>
#include <string.h>

enum { STEPS = 6, ROWS = 3, OBS = 3, ACT = 2, IN = OBS + ACT, H = 5 };

typedef struct problem {
    deft_encoder e;
    float x[STEPS * ROWS * IN], weight[STEPS * ROWS * H]; // loss = sum weight * output
    float *memory;
    deft_bptt tape;
} problem;

static void setup(problem *p, deft_encoder_kind kind, deft_unit unit)
{
    deft_error err = {0};
    deft_rng rng;
    deft_rng_seed(&rng, 3 + (uint64_t)kind);
    *p = (problem){.e = {.kind = kind,
                         .n_obs = OBS,
                         .n_act = ACT,
                         .previous = true,
                         .n_layer = 3,
                         .hidden = H,
                         .unit = unit}};
    CHECK_OK(deft_encoder_init(&p->e, &err), err);
    deft_encoder_randomize(&p->e, &rng);
    for (int i = 0; i < p->e.n_param; i++) p->e.param[i] *= 2;
    for (int i = 0; i < STEPS * ROWS * IN; i++) p->x[i] = (float)deft_rng_normal(&rng);
    for (int i = 0; i < STEPS * ROWS * H; i++) p->weight[i] = 8 * (float)deft_rng_normal(&rng);
    const int shape[2] = {STEPS, ROWS};
    p->memory = malloc(deft_bptt_layout(&p->e, shape, NULL, NULL) * sizeof(float));
    (void)deft_bptt_layout(&p->e, shape, p->memory, &p->tape);
}

static void release(problem *p)
{
    free(p->memory);
    deft_encoder_free(&p->e);
}

static float *at(float *x, int step, int row, int width)
{
    return x + ((size_t)step * ROWS + (size_t)row) * (size_t)width;
}

static double loss(const deft_train_ops *o, problem *p)
{
    const float *y = deft_bptt_forward(o, &p->e, p->e.param, p->x, &p->tape);
    double sum = 0;
    for (int i = 0; i < STEPS * ROWS * H; i++) {
        sum += (double)p->weight[i] * (double)y[i];
    }
    return sum;
}

static void test_gradient(const deft_train_ops *o, deft_encoder_kind kind, deft_unit unit)
{
    problem p;
    setup(&p, kind, unit);
    float *grad = calloc((size_t)p.e.n_param, sizeof *grad);
    (void)loss(o, &p);
    deft_bptt_backward(o, &p.e, p.e.param, p.weight, &p.tape, grad);
    int off = 0;
    double largest = 0;
    for (int i = 0; i < p.e.n_param; i++) {
        const float keep = p.e.param[i], h = 2e-3f;
        p.e.param[i] = keep + h;
        const double up = loss(o, &p);
        p.e.param[i] = keep - h;
        const double want = (up - loss(o, &p)) / (2 * (double)h);
        p.e.param[i] = keep;
        const double got = (double)grad[i];
        if (fabs(got) > largest) largest = fabs(got);
        // A ReLU may change sides within the difference: rare, and then far off.
        if (fabs(got - want) > 0.005 * (1 + fabs(want))) off++;
        CHECK(off <= (unit == DEFT_UNIT_RELU ? 3 : 0) ||
                  fabs(got - want) <= 0.005 * (1 + fabs(want)),
              "kind %d: gradient[%d] is %g, finite difference %g", (int)kind, i, got, want);
    }
    CHECK(largest > 0.5, "kind %d: no gradient to speak of", (int)kind);
    free(grad);
    release(&p);
}

/* A perceptron has no state: where only the last step counts, steps before it change nothing. */
static void test_burn_in(const deft_train_ops *o)
{
    problem p;
    setup(&p, DEFT_ENCODER_MLP, DEFT_UNIT_TANH);
    float *whole = calloc((size_t)p.e.n_param, sizeof *whole);
    float *part = calloc((size_t)p.e.n_param, sizeof *part);
    memset(p.weight, 0, sizeof p.weight - (size_t)ROWS * H * sizeof(float));
    (void)loss(o, &p);
    deft_bptt_backward(o, &p.e, p.e.param, p.weight, &p.tape, whole);
    p.tape.from = STEPS - 1;
    deft_bptt_backward(o, &p.e, p.e.param, p.weight, &p.tape, part);
    for (int i = 0; i < p.e.n_param; i++) {
        CHECK(fabsf(whole[i] - part[i]) < 1e-5f, "burn-in changes a perceptron's gradient");
    }
    free(whole);
    free(part);
    release(&p);
}

/* Truncated: one step's gradient, by finite differences of that step alone with its state given. */
static void test_truncated(const deft_train_ops *o, deft_encoder_kind kind)
{
    problem p;
    setup(&p, kind, DEFT_UNIT_TANH);
    const size_t n = (size_t)p.e.n_param, state = (size_t)p.e.n_state;
    float *grad = calloc(n, sizeof *grad), *began = calloc(ROWS * state, sizeof *began);
    float *now = malloc(state * sizeof *now), feature[IN + H], scratch[8 * H];
    (void)loss(o, &p);
    p.tape.from = STEPS - 1;
    deft_bptt_backward(o, &p.e, p.e.param, p.weight, &p.tape, grad);
    for (int r = 0; r < ROWS; r++) {
        const deft_encoder_memory m = {began + (size_t)r * state, feature, scratch};
        for (int s = 0; s + 1 < STEPS; s++) {
            const float *x = at(p.x, s, r, IN);
            deft_encoder_step(&p.e, x + ACT, x, s == 0, &m);
        }
    }
    for (size_t i = 0; i < n; i++) {
        const float keep = p.e.param[i], h = 2e-3f;
        double sum = 0;
        for (int side = 0; side < 2; side++) {
            p.e.param[i] = side ? keep - h : keep + h;
            for (int r = 0; r < ROWS; r++) {
                const float *x = at(p.x, STEPS - 1, r, IN);
                const float *weight = at(p.weight, STEPS - 1, r, H);
                memcpy(now, began + (size_t)r * state, state * sizeof *now);
                deft_encoder_step(&p.e, x + ACT, x, false,
                                  &(deft_encoder_memory){now, feature, scratch});
                for (int k = 0; k < H; k++) {
                    const double term = (double)weight[k] * (double)feature[IN + k];
                    sum += side ? -term : term;
                }
            }
        }
        p.e.param[i] = keep;
        const double want = sum / (2 * (double)h);
        CHECK(fabs((double)grad[i] - want) < 0.005 * (1 + fabs(want)),
              "kind %d, truncated: gradient[%d] is %g, finite difference %g", (int)kind, (int)i,
              (double)grad[i], want);
    }
    free(grad);
    free(began);
    free(now);
    release(&p);
}

static void test_forward(const deft_train_ops *o, deft_encoder_kind kind, deft_unit unit)
{
    problem p;
    setup(&p, kind, unit);
    // Row 1 begins two steps later: zeros until then.
    for (int s = 0; s < 2; s++) memset(at(p.x, s, 1, IN), 0, IN * sizeof(float));
    const float *y = deft_bptt_forward(o, &p.e, p.e.param, p.x, &p.tape);
    for (int r = 0; r < ROWS; r++) {
        float *state = calloc((size_t)p.e.n_state + 1, sizeof *state), feature[IN + H];
        float scratch[8 * H];
        for (int s = r == 1 ? 2 : 0; s < STEPS; s++) {
            const float *x = at(p.x, s, r, IN);
            deft_encoder_step(&p.e, x + ACT, x, false,
                              &(deft_encoder_memory){state, feature, scratch});
            for (int k = 0; k < H; k++) {
                const float got = y[(s * ROWS + r) * H + k];
                CHECK(fabsf(got - feature[IN + k]) < 1e-5f,
                      "kind %d: output %d of step %d is %g, one at a time %g", (int)kind, k, s,
                      (double)got, (double)feature[IN + k]);
            }
        }
        free(state);
    }
    release(&p);
}

enum { BURN = 3, LEARN = 4, SEQ = 7, LONG = 9, SHORT = 4, TRIES = 400 };

static int length_of(int episode)
{
    return episode ? SHORT : LONG;
}

/* Two episodes side by side in the buffer, rows numbered from 1; the first is terminated. */
static void fill(deft_replay *r)
{
    int64_t last[2] = {-1, -1};
    for (int i = 0; i <= LONG; i++) {
        for (int e = 0; e < 2; e++) {
            const int steps = length_of(e);
            if (i > steps) continue;
            const float x[2] = {(float)(e + 1), (float)(i + 1)}, act = (float)(10 * e + i);
            last[e] = deft_replay_append(r, last[e], x, i < steps ? &act : NULL);
            if (i == steps) continue;
            const deft_replay_end end = i + 1 < steps ? DEFT_REPLAY_GOES_ON
                                        : e           ? DEFT_REPLAY_TRUNCATED
                                                      : DEFT_REPLAY_TERMINATED;
            deft_replay_outcome(r, last[e], (float)(100 * e + i), end);
        }
    }
}

/* Row i of what is learned from. */
static void check_row(const deft_replay_windows *w, size_t i, int seen[2][LONG])
{
    const float *now = w->x + (i + (size_t)BURN * SEQ) * 2, *next = now + (size_t)SEQ * 2;
    const int e = (int)now[0] - 1, step = (int)now[1] - 1;
    CHECK(w->act[i] == (float)(10 * e + step) && w->reward[i] == (float)(100 * e + step) &&
              next[0] == now[0] && next[1] == now[1] + 1 &&
              w->discount[i] == (e == 0 && step == LONG - 1 ? 0 : 0.5f),
          "a window's row is not what was stored");
    for (int back = 1; back <= BURN; back++) { // the episode, or zeros before its start
        const float *p = now - (size_t)back * SEQ * 2;
        const float want = step - back >= 0 ? (float)(step - back + 1) : 0;
        CHECK(p[1] == want, "%d steps back is step %g, not %g", back, (double)p[1], (double)want);
    }
    seen[e][step]++;
}

static void check_frequency(int e, int i, int seen)
{
    int ways = 0; // rows and places that lead to a window with this one
    for (int begin = i - LEARN + 1; begin <= i; begin++) {
        for (int k = begin; k < begin + LEARN; k++) ways += k >= 0 && k < length_of(e);
    }
    const double want = (double)(TRIES * SEQ * ways) / ((LONG + SHORT) * LEARN);
    CHECK(fabs(seen / want - 1) < 0.2, "step %d of %d: seen %d times, not %g", i, e, seen, want);
}

static void test_windows(void)
{
    deft_error err = {0};
    deft_replay r;
    CHECK_OK(deft_replay_init(&r, 2, 1, 64, &err), err);
    fill(&r);
    float x[(BURN + LEARN + 1) * SEQ * 2], act[LEARN * SEQ], reward[LEARN * SEQ];
    float discount[LEARN * SEQ], valid[LEARN * SEQ];
    const deft_replay_windows w = {SEQ, BURN, LEARN, 2, x, act, reward, discount, valid};
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    int seen[2][LONG] = {{0}};
    for (int t = 0; t < TRIES; t++) {
        int count = 0;
        const int said = deft_replay_sample_windows(&r, &rng, 0.5f, &w);
        for (size_t i = 0; i < (size_t)LEARN * SEQ; i++) {
            if (valid[i] == 0) continue;
            count++;
            check_row(&w, i, seen);
        }
        CHECK(count == said, "%d valid rows, %d said", count, said);
    }
    for (int e = 0; e < 2; e++) {
        for (int i = 0; i < length_of(e); i++) check_frequency(e, i, seen[e][i]);
    }
    deft_replay_free(&r);
}

int main(void)
{
    deft_error err = {0};
    deft_blas *blas = NULL;
    CHECK_OK(deft_blas_create(NULL, &blas, &err), err);
    const deft_train_ops o = {blas, deft_vec_best()};
    const deft_encoder_kind kinds[] = {DEFT_ENCODER_GRU, DEFT_ENCODER_LSTM, DEFT_ENCODER_MLP};
    for (int i = 0; i < 3; i++) {
        test_forward(&o, kinds[i], DEFT_UNIT_ELU);
        test_gradient(&o, kinds[i], DEFT_UNIT_TANH);
    }
    test_gradient(&o, DEFT_ENCODER_MLP, DEFT_UNIT_RELU);
    test_truncated(&o, DEFT_ENCODER_GRU);
    test_truncated(&o, DEFT_ENCODER_LSTM);
    test_burn_in(&o);
    test_windows();
    deft_blas_destroy(blas);
    return check_report();
}
