/* fuzz_normaliser.c - any bytes as a pickled VecNormalize. */
#include "deft/formats.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_arena *a = deft_arena_create((size_t)64 << 20);
    deft_normaliser *n = NULL;
    deft_error err = {0};
    char text[400];
    if (!a) return 0;
    (void)deft_format_explain((deft_bytes){data, size}, text, sizeof text);
    const deft_status s = deft_normaliser_read((deft_bytes){data, size}, "fuzz.pkl", a, &n, &err);
    if ((s == DEFT_OK) != (n != NULL) || (s != DEFT_OK && !err.text[0])) abort();
    for (int32_t k = 0; n && k < n->n_part; k++)
        for (int32_t i = 0; i < n->part[k].n; i++)
            if (!isfinite(n->part[k].mean[i]) || !isfinite(n->part[k].variance[i])) abort();
    deft_arena_destroy(a);
    return 0;
}
