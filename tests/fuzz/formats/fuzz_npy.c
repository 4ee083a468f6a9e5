/* fuzz_npy.c - any bytes as an array or an archive of arrays. CRCs are as they are: what the zip
 * reader does with changed ones is fuzz_torch's. */
#include "deft/formats.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const deft_npy *x, deft_status s, const deft_error *err)
{
    if (s != DEFT_OK) {
        if (!err->text[0]) abort();
        return;
    }
    double sum = 0;
    if (x->n_row < 0 || x->n_column < 0 || x->rank < 1 || x->rank > 2) abort();
    for (size_t i = 0; i < (size_t)x->n_row * (size_t)x->n_column; i++) sum += x->value[i];
    if (sum > 1e308) (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_arena *a = deft_arena_create((size_t)64 << 20);
    uint8_t *copy = malloc(size ? size : 1); // exactly as many bytes: a read after them is seen
    if (a && copy) {
        deft_error err = {0};
        deft_npy x;
        deft_npz z;
        if (size) memcpy(copy, data, size);
        look(&x, deft_npy_read((deft_bytes){copy, size}, a, &x, &err), &err);
        err = (deft_error){0};
        const deft_status s = deft_npz_open((deft_bytes){copy, size}, a, &z, &err);
        if (s != DEFT_OK && !err.text[0]) abort();
        for (int32_t k = 0; s == DEFT_OK && k < z.n; k++) {
            err = (deft_error){0};
            look(&x, deft_npz_read(&z, k, a, &x, &err), &err);
        }
    }
    free(copy);
    deft_arena_destroy(a);
    return 0;
}
