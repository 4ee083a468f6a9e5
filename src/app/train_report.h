/* train_report.h - private: what came of a run, or of many, as a page (report.html), complete in
 * one file. Where there is no gnuplot, it says so in the place of the curves. */
#ifndef DEFT_APP_TRAIN_REPORT_H
#define DEFT_APP_TRAIN_REPORT_H

#include "app/train_result.h"
#include "deft/train_many.h"

typedef struct train_report {
    const char *dir;
    const deft_train_setup *setup;
    const train_curve *curve;
    const train_finish *finish;
    double seconds;
} train_report;
deft_status train_report_run(const train_report *r, deft_error *err);

/* Curves of every group: the mean of its runs, and each. Runs are finished. */
deft_status train_report_many(const deft_train_job *job, int32_t n, const char *dir,
                              const deft_train_group *group, int32_t n_group, deft_error *err);

#endif
