/* train_fixture.h - files of lines "name count values...", as tools/make_*_fixtures.py write them.
 */
#ifndef TRAIN_FIXTURE_H
#define TRAIN_FIXTURE_H

#include "check.h"

#include <stdbool.h>
#include <string.h>

/* Next line of the fixture, which must be `name` with n values. */
static inline bool fixture_next(FILE *f, const char *name, float *v, int n)
{
    char label[32] = "";
    int count = 0;
    if (fscanf(f, "%31s %d", label, &count) != 2 || strcmp(label, name) != 0 || count != n) {
        CHECK(false, "expected %s %d, found %s %d", name, n, label, count);
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (fscanf(f, "%f", &v[i]) != 1) return false;
    }
    return true;
}

#endif
