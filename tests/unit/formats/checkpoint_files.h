/* checkpoint_files.h - private to the tests: reading checkpoints of the source tree. */
#ifndef DEFT_TEST_CHECKPOINT_FILES_H
#define DEFT_TEST_CHECKPOINT_FILES_H

#include "check.h"
#include "deft/formats.h"

static inline deft_status read_checkpoint_at(const char *path, deft_arena *a, deft_checkpoint **c,
                                             deft_error *err)
{
    deft_bytes b = {0};
    *c = NULL;
    const deft_status s = deft_file_read(path, 0, a, &b, err);
    return s == DEFT_OK ? deft_torch_read(b, path, a, c, err) : s;
}

static inline deft_status read_checkpoint(const char *name, deft_arena *a, deft_checkpoint **c,
                                          deft_error *err)
{
    char relative[256], path[4400];
    (void)snprintf(relative, sizeof relative, "tests/golden/checkpoints/%s.pt", name);
    return read_checkpoint_at(check_source(path, sizeof path, relative), a, c, err);
}

#endif
