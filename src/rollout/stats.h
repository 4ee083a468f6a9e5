/* stats.h - private: quantiles. */
#ifndef DEFT_ROLLOUT_STATS_H
#define DEFT_ROLLOUT_STATS_H

#include "deft/rollout.h"

/* The two-sided 95 % quantile of Student's t with nu >= 1 degrees of freedom (its 97.5th
 * percentile), to 1e-12; NAN for nu < 1. */
double stats_t95(int64_t nu);

#endif
