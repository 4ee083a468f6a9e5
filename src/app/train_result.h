/* train_result.h - private: what came out of a run, from its progress.csv. */
#ifndef DEFT_APP_TRAIN_RESULT_H
#define DEFT_APP_TRAIN_RESULT_H

#include "app/train_finish.h"
#include "deft/train_run.h"

enum { // columns of progress.csv
    CURVE_STEP = 0,
    CURVE_UPDATE,
    CURVE_EPISODES,
    CURVE_RETURN,
    CURVE_CRITIC,
    CURVE_ACTOR,
    CURVE_Q,
    CURVE_ALPHA,
    CURVE_EVAL,
    CURVE_EVAL_SD,
    CURVE_EVAL_DISTANCE,
    CURVE_COLUMNS,
};

typedef struct train_curve {
    int32_t n;                     // lines
    double *column[CURVE_COLUMNS]; // [n], NAN for empty cells
    int32_t last, best;            // lines of evaluations, -1: none
} train_curve;
/* dir/progress.csv, of a run of setup; columns live in a. DEFT_E_IO, DEFT_E_FORMAT, DEFT_E_SPACE.
 */
deft_status train_curve_read(const char *dir, const deft_train_setup *setup, deft_arena *a,
                             train_curve *out, deft_error *err);

/* One line, of text that has an end of line; false: not of as many cells as there should be. NAN
 * for empty ones. */
bool train_curve_row(const char *line, double cell[CURVE_COLUMNS]);

/* dir/result.json, which says that the run is finished: steps, time, last and best evaluation, and
 * what became of the best policy. */
deft_status train_result_write(const char *dir, const train_curve *c, double seconds,
                               const train_finish *f, deft_error *err);
/* The time of a finished run, NAN where it is not told. */
double train_result_seconds(const char *dir);

#endif
