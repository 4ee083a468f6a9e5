/* The replay buffer against sums by hand: n-step returns over episodes of several environments that
 * end either way, in a ring that is written over. */
#include "check.h"
#include "train/replay.h"

#include <math.h>

enum { LANES = 3, RING = 101, ROWS = 700, BATCH = 500 };
static const float gamma_ = 0.9f;

/* All that ever happened; a row's first feature is its number. */
typedef struct history {
    float reward[ROWS];
    int next[ROWS]; // -1: none yet
    deft_replay_end end[ROWS];
    int n;
} history;

static void happen(history *h, deft_replay *r, deft_rng *rng)
{
    int64_t last[LANES] = {-1, -1, -1};
    for (int i = 0; h->n + 2 < ROWS; i++) {
        const int lane = i % LANES;
        const float feature[2] = {(float)h->n, 1}, act[1] = {(float)h->n / 2};
        h->reward[h->n] = (float)deft_rng_normal(rng);
        const double u = deft_rng_uniform(rng, 0, 1);
        h->end[h->n] = u < 0.05  ? DEFT_REPLAY_TERMINATED
                       : u < 0.1 ? DEFT_REPLAY_TRUNCATED
                                 : DEFT_REPLAY_GOES_ON;
        h->next[h->n] = -1;
        if (last[lane] >= 0) h->next[last[lane]] = h->n;
        last[lane] = deft_replay_append(r, last[lane], feature, act);
        CHECK(last[lane] == h->n, "number %lld", (long long)last[lane]);
        deft_replay_outcome(r, last[lane], h->reward[h->n], h->end[h->n]);
        if (h->end[h->n++] == DEFT_REPLAY_GOES_ON) continue;
        const float tail[2] = {(float)h->n, 1};
        h->next[last[lane]] = h->n;
        h->next[h->n] = -1;
        h->end[h->n] = DEFT_REPLAY_TAIL;
        CHECK(deft_replay_append(r, last[lane], tail, NULL) == h->n, "tail");
        h->n++;
        last[lane] = -1;
    }
}

static void test_n_step(int n_step)
{
    static history h;
    deft_error err = {0};
    deft_rng rng;
    deft_replay r;
    deft_rng_seed(&rng, 3);
    h.n = 0;
    CHECK_OK(deft_replay_init(&r, 2, 1, RING, &err), err);
    happen(&h, &r, &rng);
    static float feature[BATCH * 2], act[BATCH], reward[BATCH], next[BATCH * 2], discount[BATCH];
    const deft_replay_batch b = {BATCH, feature, act, reward, next, discount};
    deft_replay_sample(&r, &rng, gamma_, n_step, &b);
    int several = 0, ended = 0;
    for (int i = 0; i < BATCH; i++) {
        int at = (int)feature[2 * i], k = 0;
        double sum = 0, factor = 1;
        CHECK(at >= h.n - RING && h.end[at] != DEFT_REPLAY_TAIL, "row %d was drawn", at);
        CHECK(act[i] == (float)at / 2, "action of row %d", at);
        bool over = false;
        for (; k < n_step && !over && h.next[at] >= 0; k++) {
            sum += factor * (double)h.reward[at];
            factor *= (double)gamma_;
            if (h.end[at] == DEFT_REPLAY_TERMINATED) factor = 0;
            over = h.end[at] != DEFT_REPLAY_GOES_ON;
            at = h.next[at];
        }
        CHECK(fabs(sum - (double)reward[i]) < 1e-5 && fabs(factor - (double)discount[i]) < 1e-6 &&
                  next[2 * i] == (float)at,
              "%d rewards from row %d: %g, discount %g, to row %d", n_step, (int)feature[2 * i],
              (double)reward[i], (double)discount[i], (int)next[2 * i]);
        several += k > 1;
        ended += discount[i] == 0;
    }
    CHECK((n_step == 1) == (several == 0) && ended > 0, "%d sums, %d ends", several, ended);
    deft_replay_free(&r);
}

int main(void)
{
    test_n_step(1);
    test_n_step(4);
    test_n_step(7);
    return check_report();
}
