/* recording_table.h - files of recordings as tables of named columns. */
#ifndef DEFT_APP_RECORDING_TABLE_H
#define DEFT_APP_RECORDING_TABLE_H

#include "deft/rollout.h"

/* CSV, .npy, .npz, or a log of episodes (*log: columns have the log's names, and hold sensor values
 * as they are). Arrays become columns obs0, ..., act0, ..., and "episode_start", "done", ... */
deft_status recording_table(const char *path, deft_arena *a, deft_csv *out, bool *log,
                            deft_error *err);
deft_status recording_log_read(const char *path, deft_arena *a, deft_csv *out, deft_error *err);

#endif
