/* fuzz_trainer_state.c - a trainer's state and experience, as a checkpoint holds them, with
 * anything written over them: what is taken trains on, what is refused says why. Input: records of
 * 11 bytes, a kind, an offset (u16) and eight bytes that go there. */
#include "deft/train.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 11, OF_ROWS = 1, SHORTER = 2 };

typedef struct saved {
    char *state, *rows;
    size_t n_state, row_bytes;
    int64_t n_row;
    deft_trainer *trainer; // stays, and with it the library, which takes long to load
} saved;

static deft_trainer *make(void)
{
    deft_error err = {DEFT_OK, ""};
    deft_env *env = NULL;
    deft_trainer *t = NULL;
    deft_train_config c;
    const deft_env_config e = {.max_steps = 12};
    if (deft_train_defaults("ra-sac", &c, &err) != DEFT_OK) abort();
    c.encoder_layers = 1;
    c.encoder_hidden = 2;
    c.n_hidden = 1;
    c.hidden[0] = 4;
    c.batch = 4;
    c.steps = 1000;
    c.warmup = 40;
    c.replay = 100;
    c.envs = 2;
    c.round = 5;
    c.eval_every = 50;
    c.eval_episodes = 1;
    c.best_distance = 0;
    c.threads = 1;
    if (deft_env_create("pendulum", &e, &env, &err) != DEFT_OK) abort();
    if (deft_trainer_create(&c, env, &t, &err) != DEFT_OK) abort();
    deft_env_destroy(env);
    return t;
}

static saved make_saved(void)
{
    deft_error err = {DEFT_OK, ""};
    deft_trainer *const t = make();
    deft_train_report r;
    saved s = {.trainer = t};
    for (int i = 0; i < 8; i++) {
        if (deft_trainer_round(t, &r, &err) != 0) abort();
    }
    s.n_state = deft_trainer_state_size(t);
    s.n_row = deft_trainer_rows(t);
    s.row_bytes = (size_t)s.n_row * deft_trainer_row_size(t);
    s.state = malloc(s.n_state);
    s.rows = malloc(s.row_bytes);
    if (!s.state || !s.rows || s.n_row >= deft_trainer_capacity(t)) abort();
    deft_trainer_state_save(t, s.state);
    deft_trainer_rows_save(t, 0, s.n_row, s.rows);
    return s;
}

static void write_over(char *to, size_t n, size_t at, const uint8_t *what)
{
    at %= n;
    memcpy(to + at, what, n - at < 8 ? n - at : 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static saved good;
    if (!good.state) good = make_saved();
    char *const state = malloc(good.n_state), *const rows = malloc(good.row_bytes);
    deft_trainer *const t = make();
    if (!state || !rows) abort();
    memcpy(state, good.state, good.n_state);
    memcpy(rows, good.rows, good.row_bytes);
    int64_t n_row = good.n_row;
    for (; size >= RECORD; data += RECORD, size -= RECORD) {
        const size_t at = data[1] | (size_t)data[2] << 8;
        if (data[0] == OF_ROWS) {
            write_over(rows, good.row_bytes, at, data + 3);
        } else if (data[0] == SHORTER) {
            n_row = (int64_t)(at % (size_t)(good.n_row + 1));
        } else {
            write_over(state, good.n_state, at, data + 3);
        }
    }
    deft_error err = {DEFT_OK, ""};
    int32_t s = deft_trainer_state_load(t, state, good.n_state, rows, n_row, &err);
    for (int i = 0; s == 0 && i < 3; i++) {
        deft_train_report r;
        s = deft_trainer_round(t, &r, &err);
    }
    if (s < 0 && (err.status != s || !err.text[0])) abort();
    deft_trainer_destroy(t);
    free(state);
    free(rows);
    return 0;
}
