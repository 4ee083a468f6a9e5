/* replay.c IMAGE OBSERVATIONS - an image through the freestanding runtime, on a host: rows of
 * numbers in, rows of actions out, nine digits each, which name every float32. */
#include "deft/policy.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX = 1024 };

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *const f = fopen(path, "rb");
    if (!f) return NULL;
    (void)fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *const p = aligned_alloc(64, (*size + 63) / 64 * 64);
    if (p && fread(p, 1, *size, f) != *size) *size = 0;
    (void)fclose(f);
    return p;
}

int main(int argc, char **argv)
{
    static float obs[MAX], act[MAX];
    deft_policy_config c = {0};
    deft_policy p;
    FILE *const f = argc == 3 ? fopen(argv[2], "r") : NULL;
    if (!f || !(c.image = read_file(argv[1], &c.image_size))) return 2;
    const int32_t size = deft_policy_size(c.image, c.image_size);
    if (size < 0) return 3;
    c.arena_size = ((size_t)size + 63) / 64 * 64;
    c.arena = aligned_alloc(64, c.arena_size);
    if (!c.arena || deft_policy_init(&p, &c) != DEFT_OK || p.n_obs > MAX || p.n_act > MAX) return 4;
    if (deft_policy_selftest(&p) != DEFT_OK) return 5;
    for (;;) {
        for (uint16_t i = 0; i < p.n_obs; i++) {
            if (fscanf(f, "%f%*[, ]", &obs[i]) != 1) return i ? 6 : 0;
        }
        if (deft_policy_step(&p, obs, NULL, act) != DEFT_OK) return 7;
        for (uint16_t i = 0; i < p.n_act; i++) printf("%s%.9g", i ? "," : "", (double)act[i]);
        printf("\n");
    }
}
