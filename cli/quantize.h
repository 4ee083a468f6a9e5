/* quantize.h - what the files of 'deft quantize' share. */
#ifndef DEFT_CLI_QUANTIZE_H
#define DEFT_CLI_QUANTIZE_H

#include "arguments.h"
#include "output.h"

/* A policy at every width of lo to hi bits. */
typedef struct quantize_sweep {
    const deft_loaded *policy;
    const deft_calibration *calibration;
    deft_env *env;
    const deft_quant_options *options;
    const char *out; // CSV; the curve goes beside it
    int32_t lo, hi, episodes, jobs;
    uint64_t seed;
    bool json, force; // force: begin anew where the CSV is that of another sweep
} quantize_sweep;
/* Where the curve goes: beside the CSV. NULL: out of memory. */
const char *quantize_sweep_curve(const char *csv, deft_arena *a);
/* Refuses a CSV of another sweep, before there is calibration data. Exit status. */
int quantize_sweep_check(const quantize_sweep *s);
int quantize_sweep_run(const quantize_sweep *s); // exit status

#endif
