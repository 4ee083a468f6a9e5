/* recording_quality.c - what a recording may not be good for: columns that never move, and values
 * far from all others of their column. */
#include "deft/app.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static double median(float *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? (double)x[n / 2] : 0.5 * ((double)x[n / 2 - 1] + (double)x[n / 2]);
}

deft_status deft_recording_examine(const deft_recording *r, deft_arena *a,
                                   deft_recording_quality *out, deft_error *err)
{
    static const double far = 20, consistent = 1.4826; // with a normal distribution's deviation
    const size_t n = (size_t)r->n_row, w = (size_t)r->n_obs;
    float *const x = malloc((n ? n : 1) * sizeof *x);
    int32_t *const still = DEFT_NEW_ARRAY(a, int32_t, w);
    deft_outlier *const outlier = DEFT_NEW_ARRAY(a, deft_outlier, w);
    *out = (deft_recording_quality){.still = still, .outlier = outlier};
    if (!x || !still || !outlier) {
        free(x);
        return deft_fail(err, DEFT_E_SPACE, "no memory to look at the recording");
    }
    for (size_t i = 0; i < w; i++) {
        for (size_t k = 0; k < n; k++) x[k] = r->obs[k * w + i];
        const double middle = median(x, n);
        if (x[0] == x[n - 1]) {
            still[out->n_still++] = (int32_t)i;
            continue;
        }
        for (size_t k = 0; k < n; k++) x[k] = fabsf(x[k] - (float)middle);
        const double deviation = consistent * median(x, n);
        deft_outlier worst = {.column = (int32_t)i};
        double most = far * deviation;
        for (size_t k = 0; deviation > 0 && k < n; k++) {
            const double d = fabs((double)r->obs[k * w + i] - middle);
            worst.count += d > far * deviation;
            if (d <= most) continue;
            most = d;
            worst.row = (int32_t)k;
            worst.value = r->obs[k * w + i];
            worst.deviations = d / deviation;
        }
        if (worst.count) outlier[out->n_outlier++] = worst;
    }
    free(x);
    return DEFT_OK;
}
