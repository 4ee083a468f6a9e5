/* fuzz_torch.c - any bytes as a PyTorch archive: read, assemble, step. CRCs of stored entries are
 * made right on a copy, so that changes of the fuzzer get past them. */
#include "base/crc32.h"
#include "deft/formats.h"

#include <stdlib.h>
#include <string.h>

enum { LOCAL = 30, DIRECTORY = 46, MAX_WIDTH = 4096, MAX_WEIGHTS = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t number(const uint8_t *p, size_t n)
{
    uint32_t v = 0;
    for (size_t k = 0; k < n; k++) v |= (uint32_t)p[k] << 8 * k;
    return v;
}

static void put_crc(uint8_t *p, uint32_t crc)
{
    for (size_t k = 0; k < 4; k++) p[k] = (uint8_t)(crc >> 8 * k);
}

static void fix_up(uint8_t *b, size_t size)
{
    for (size_t i = 0; i + DIRECTORY <= size; i++) {
        uint8_t *d = b + i;
        if (memcmp(d, "PK\1\2", 4) != 0 || number(d + 10, 2) != 0) continue;
        const size_t length = number(d + 20, 4), at = number(d + 42, 4);
        if (at > size || size - at < LOCAL) continue;
        uint8_t *l = b + at;
        const size_t head = LOCAL + number(l + 26, 2) + number(l + 28, 2);
        if (head > size - at || length > size - at - head) continue;
        const uint32_t crc = deft_crc32(0, l + head, length);
        put_crc(d + 16, crc);
        put_crc(l + 14, crc);
    }
}

static void run(const deft_checkpoint *c, deft_arena *a)
{
    const deft_assemble_options opt = {.assume = true};
    deft_error err = {0};
    deft_model *m = NULL;
    deft_model_eval *e = NULL;
    const deft_status s = deft_assemble(c, NULL, &opt, a, &m, &err);
    if ((s == DEFT_OK) != (m != NULL) || (s != DEFT_OK && !err.text[0])) abort();
    if (s != DEFT_OK || m->contract.n_obs > MAX_WIDTH || m->contract.n_act > MAX_WIDTH) return;
    deft_model_stats stats;
    deft_model_count(m, &stats);
    if (stats.parameters > MAX_WEIGHTS) return;
    if (deft_model_eval_create(m, &e, &err) != DEFT_OK) abort(); // what is assembled can run
    float *obs = calloc((size_t)m->contract.n_obs, sizeof *obs);
    float *act = calloc((size_t)m->contract.n_act, sizeof *act);
    if (obs && act) (void)deft_model_eval_step(e, obs, NULL, act);
    free(obs);
    free(act);
    deft_model_eval_destroy(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_arena *a = deft_arena_create((size_t)64 << 20);
    uint8_t *copy = malloc(size ? size : 1); // exactly as many bytes: a read behind them is seen
    deft_checkpoint *c = NULL;
    deft_error err = {0};
    if (a && copy) {
        if (size) memcpy(copy, data, size);
        fix_up(copy, size);
        (void)deft_format_detect(copy, size);
        const deft_status s = deft_torch_read((deft_bytes){copy, size}, "fuzz.pt", a, &c, &err);
        if ((s == DEFT_OK) != (c != NULL) || (s != DEFT_OK && !err.text[0])) abort();
        if (c) run(c, a);
    }
    free(copy);
    deft_arena_destroy(a);
    return 0;
}
