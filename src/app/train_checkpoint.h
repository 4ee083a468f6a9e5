/* train_checkpoint.h - private: checkpoint.bin and replay.bin of a run. */
#ifndef DEFT_APP_TRAIN_CHECKPOINT_H
#define DEFT_APP_TRAIN_CHECKPOINT_H

#include "deft/train.h"

/* progress.csv when the checkpoint was made. */
typedef struct train_mark {
    int64_t rows;
    uint64_t bytes; // with the head; 0: not known
    uint32_t crc;
} train_mark;

typedef struct train_checkpoint {
    const char *path, *replay; // of checkpoint.bin and of replay.bin
    uint32_t setup;            // CRC of the configuration
    uint64_t scene;            // deft_env_scene_hash
    int64_t rows_saved;        // in replay.bin
    uint32_t rows_crc;         // of those
    /* Kept with the trainer. */
    int64_t next_line; // step of the next line of progress
    double return_sum; // since the last line
    int64_t return_count;
    double seconds; // trained so far
    char core[16];  // OpenBLAS's kernels that it was trained by
    train_mark log;
} train_checkpoint;

/* The rows that are new go behind those in replay.bin first; checkpoint.bin then replaces the old
 * one at once. DEFT_E_IO, DEFT_E_SPACE. */
deft_status train_checkpoint_save_rows(train_checkpoint *c, const deft_trainer *t,
                                       const deft_train_config *cfg, deft_error *err);
deft_status train_checkpoint_save(train_checkpoint *c, const deft_trainer *t,
                                  const deft_train_config *cfg, deft_error *err);
/* All but paths, setup and scene come from the files. DEFT_E_FORMAT: damaged; DEFT_E_MISMATCH:
 * of another configuration or scene; DEFT_E_IO, DEFT_E_SPACE. */
deft_status train_checkpoint_load(train_checkpoint *c, deft_trainer *t, deft_error *err);

/* Whether the file at path begins as checkpoints do, of whatever version. */
bool train_checkpoint_is_own(const char *path);

#endif
