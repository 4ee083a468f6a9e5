/* replay.c - the replay buffer. */
#include "train/replay.h"

#include <stdlib.h>
#include <string.h>

deft_status deft_replay_init(deft_replay *r, int n_feature, int n_act, int64_t capacity,
                             deft_error *err)
{
    *r = (deft_replay){.n_feature = n_feature, .n_act = n_act, .capacity = capacity};
    r->stride = (size_t)n_feature + (size_t)n_act + 2;
    if (capacity < 2 || (uint64_t)capacity > SIZE_MAX / sizeof(float) / r->stride) {
        return deft_fail(err, DEFT_E_ARG, "replay buffer of %lld rows", (long long)capacity);
    }
    // calloc: memory that no row has touched yet costs nothing.
    r->row = calloc((size_t)capacity * r->stride, sizeof(float));
    r->next = calloc((size_t)capacity, sizeof *r->next);
    r->previous = calloc((size_t)capacity, sizeof *r->previous);
    if (!r->row || !r->next || !r->previous) {
        deft_replay_free(r);
        return deft_fail(err, DEFT_E_SPACE, "no memory for a replay buffer of %lld rows",
                         (long long)capacity);
    }
    return DEFT_OK;
}

void deft_replay_free(deft_replay *r)
{
    free(r->row);
    free(r->next);
    free(r->previous);
    *r = (deft_replay){0};
}

static float *row_at(const deft_replay *r, int64_t number)
{
    return r->row + (size_t)(number % r->capacity) * r->stride;
}

const float *deft_replay_row(const deft_replay *r, int64_t number)
{
    return row_at(r, number);
}

int64_t deft_replay_append(deft_replay *r, int64_t previous, const float *feature, const float *act)
{
    const int64_t number = r->head++;
    float *p = row_at(r, number);
    const size_t n = (size_t)r->n_feature, m = (size_t)r->n_act;
    memcpy(p, feature, n * sizeof *p);
    if (act) {
        memcpy(p + n, act, m * sizeof *p);
    } else {
        memset(p + n, 0, m * sizeof *p);
    }
    p[n + m] = 0;
    p[n + m + 1] = act ? DEFT_REPLAY_GOES_ON : DEFT_REPLAY_TAIL;
    r->next[number % r->capacity] = -1;
    r->previous[number % r->capacity] = previous;
    if (previous >= 0 && previous > number - r->capacity) {
        r->next[previous % r->capacity] = number;
    }
    return number;
}

void deft_replay_outcome(deft_replay *r, int64_t number, float reward, deft_replay_end end)
{
    float *p = row_at(r, number) + r->n_feature + r->n_act;
    p[0] = reward;
    p[1] = (float)end;
}

static int64_t oldest(const deft_replay *r)
{
    return r->head > r->capacity ? r->head - r->capacity : 0;
}

static bool usable(const deft_replay *r, int64_t number)
{
    return r->next[number % r->capacity] >= 0; // tail rows have none either
}

bool deft_replay_ready(const deft_replay *r)
{
    for (int64_t i = oldest(r); i < r->head; i++) {
        if (usable(r, i)) return true;
    }
    return false;
}

/* Follows an episode from row `number` for up to n_step rewards. */
static int64_t follow(const deft_replay *r, int64_t number, float gamma, int n_step, float *reward,
                      float *discount)
{
    const size_t at = (size_t)r->n_feature + (size_t)r->n_act;
    float sum = 0, factor = 1;
    for (int k = 0; k < n_step; k++) {
        const float *p = row_at(r, number);
        const int64_t next = r->next[number % r->capacity];
        if (next < 0) break; // an episode still running, or its tail
        sum += factor * p[at];
        factor *= gamma;
        number = next;
        if (p[at + 1] == DEFT_REPLAY_TERMINATED) factor = 0;
        if (p[at + 1] != DEFT_REPLAY_GOES_ON) break;
    }
    *reward = sum;
    *discount = factor;
    return number;
}

static int64_t pick(const deft_replay *r, deft_rng *rng)
{
    const int64_t first = oldest(r), count = r->head - first;
    int64_t number;
    do {
        number = first + (int64_t)(deft_rng_u64(rng) % (uint64_t)count);
    } while (!usable(r, number));
    return number;
}

void deft_replay_sample(const deft_replay *r, deft_rng *rng, float gamma, int n_step,
                        const deft_replay_batch *out)
{
    const size_t n = (size_t)r->n_feature, m = (size_t)r->n_act;
    for (int i = 0; i < out->rows; i++) {
        const int64_t number = pick(r, rng);
        const float *p = row_at(r, number);
        const int64_t last = follow(r, number, gamma, n_step, &out->reward[i], &out->discount[i]);
        memcpy(out->feature + (size_t)i * n, p, n * sizeof *p);
        memcpy(out->act + (size_t)i * m, p + n, m * sizeof *p);
        memcpy(out->next_feature + (size_t)i * n, row_at(r, last), n * sizeof *p);
    }
}

/* One window of sequence s, from row `number` at place `place`. Returns its valid rows. */
static int fill_window(const deft_replay *r, const deft_replay_windows *w, int s, int64_t number,
                       int place, float gamma)
{
    const size_t n = (size_t)r->n_feature, m = (size_t)r->n_act, n_x = (size_t)w->n_x;
    int valid = 0;
    for (int k = place; k <= w->burn_in + w->steps && number >= 0; k++) {
        const float *p = row_at(r, number);
        memcpy(w->x + ((size_t)k * (size_t)w->sequences + (size_t)s) * n_x, p, n_x * sizeof *p);
        const int64_t next = r->next[number % r->capacity];
        if (k >= w->burn_in && k < w->burn_in + w->steps && next >= 0) {
            const size_t i = (size_t)(k - w->burn_in) * (size_t)w->sequences + (size_t)s;
            memcpy(w->act + i * m, p + n, m * sizeof *p);
            w->reward[i] = p[n + m];
            w->discount[i] = p[n + m + 1] == DEFT_REPLAY_TERMINATED ? 0 : gamma;
            w->valid[i] = 1;
            valid++;
        }
        number = next;
    }
    return valid;
}

int deft_replay_sample_windows(const deft_replay *r, deft_rng *rng, float gamma,
                               const deft_replay_windows *out)
{
    const size_t learned = (size_t)out->sequences * (size_t)out->steps;
    const size_t all = learned + (size_t)out->sequences * (size_t)(out->burn_in + 1);
    memset(out->x, 0, all * (size_t)out->n_x * sizeof(float));
    memset(out->act, 0, learned * (size_t)r->n_act * sizeof(float));
    memset(out->reward, 0, learned * sizeof(float));
    memset(out->discount, 0, learned * sizeof(float));
    memset(out->valid, 0, learned * sizeof(float));
    int valid = 0;
    for (int s = 0; s < out->sequences; s++) {
        int64_t number = pick(r, rng);
        int place = out->burn_in + (int)(deft_rng_u64(rng) % (uint64_t)out->steps);
        while (place > 0) {
            const int64_t before = r->previous[number % r->capacity];
            if (before < oldest(r)) break; // -1, too
            number = before;
            place--;
        }
        valid += fill_window(r, out, s, number, place, gamma);
    }
    return valid;
}
