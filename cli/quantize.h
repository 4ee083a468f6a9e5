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

/* What a policy is calibrated on: recordings, episodes, or neither. */
typedef struct quantize_data {
    deft_recording *recording; // [n]
    deft_recording_quality *quality;
    int32_t n;
    const char *env;    // of the episodes, or NULL
    bool contract_env;  // nobody asked for episodes: the contract names their environment
    const char *no_env; // why that could not be used, or NULL
    int32_t episodes;
    bool synthetic;       // neither
    deft_synthetic facts; // then: where ranges come from
    int32_t steps, dropped;
} quantize_data;
/* --calib: several, or names with commas between them, becomes a list of files. Exit status. */
int quantize_recordings_list(cli_paths *files, deft_arena *a);
/* sensed: as deft_load_options has it. */
int quantize_recordings_open(const cli_paths *files, deft_arena *a, int32_t *sensed,
                             quantize_data *out);
int quantize_recordings_use(quantize_data *d, const deft_loaded *l, deft_calibration *into);
/* Without data. */
int quantize_synthetic(quantize_data *d, const deft_loaded *l, uint64_t seed,
                       deft_calibration *into);
/* The environment of a policy's contract, where nothing else is said; NULL: there is none. */
const char *quantize_contract_env(const deft_loaded *l);
/* What was used, and what is doubtful about it: notes on stderr, lines on stdout, JSON. */
void quantize_data_note(const quantize_data *d, const deft_loaded *l);
void quantize_data_print(const quantize_data *d, const deft_loaded *l);
json_t *quantize_data_json(const quantize_data *d);

#endif
