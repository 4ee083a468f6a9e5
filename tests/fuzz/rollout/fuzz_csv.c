/* fuzz_csv.c - any bytes as a CSV: what is taken has the shape it says and no infinities, what is
 * refused says why. */
#include "deft/rollout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_arena *a = deft_arena_create((size_t)64 << 20);
    if (!a) return 0;
    deft_csv c;
    deft_error err = {0};
    const deft_status s = deft_csv_read((deft_bytes){data, size}, "fuzz", a, &c, &err);
    if (s != DEFT_OK && (err.status != s || strncmp(err.text, "fuzz:", 5) != 0)) abort();
    if (s == DEFT_OK) {
        if (c.n_column < 1 || c.n_row < 0) abort();
        for (int32_t i = 0; i < c.n_column; i++)
            if (strlen(c.name[i]) > size) abort();
        for (int64_t i = 0; i < (int64_t)c.n_column * c.n_row; i++)
            if (isinf(c.cell[i])) abort();
    }
    deft_arena_destroy(a);
    return 0;
}
