/* fuzz_train_setup.c - any bytes as a run's config.json: what is taken can be written and read
 * again as the same settings, what is refused says why. */
#include "deft/train_run.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_arena *const a = deft_arena_create((size_t)64 << 20);
    if (!a) return 0;
    deft_train_setup s = {.env = "quaid"}, again;
    deft_error err = {DEFT_OK, ""};
    if (deft_train_defaults("td3", &s.train, &err) != DEFT_OK) abort();
    const deft_status merged =
        deft_train_setup_merge((deft_bytes){data, size}, "fuzz", a, &s, &err);
    if (merged != DEFT_OK && (err.status != merged || strncmp(err.text, "fuzz", 4) != 0)) abort();
    if (merged == DEFT_OK) {
        deft_bytes json;
        if (deft_train_setup_write(&s, a, &json, &err) != DEFT_OK) abort();
        if (deft_train_setup_read(json, "again", a, &again, &err) != DEFT_OK) abort();
        if (deft_train_setup_difference(&s, &again)) abort();
    }
    deft_arena_destroy(a);
    return 0;
}
