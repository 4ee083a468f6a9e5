/* train_log.h - private: what a training run tells, line by line, in three forms:
 *   progress.csv              of nothing but the run: equal runs write equal bytes
 *   run.sqlite                tables config, progress, evaluations
 *   events.out.tfevents.*     for TensorBoard
 * All of a line is with the system before train_log_write returns, so that kill -9 loses none. */
#ifndef DEFT_APP_TRAIN_LOG_H
#define DEFT_APP_TRAIN_LOG_H

#include "app/tfevents.h"

/* NAN: not known. */
typedef struct train_row {
    int64_t step, update;
    int64_t episodes;   // that ended since the last line
    double mean_return; // of those
    double critic_loss, actor_loss, q, alpha;
    bool evaluated, best;
    double eval_return, eval_sd, eval_distance_cm; // if evaluated
    double seconds;                                // of training, in all sessions
    double rate;                                   // steps a second since the last line
} train_row;

typedef struct train_log train_log;

/* Goes on after `step`: lines of later ones are taken out. config: the JSON of the run. Formats
 * that are not there yet are begun. DEFT_E_IO, DEFT_E_SPACE. */
deft_status train_log_open(const char *dir, deft_bytes config, int64_t step, train_log **out,
                           deft_error *err);
deft_status train_log_write(train_log *l, const train_row *x, deft_error *err);
deft_status train_log_sync(train_log *l, deft_error *err);  // progress.csv to the disk
deft_status train_log_close(train_log *l, deft_error *err); // NULL is fine

/* run.sqlite alone; each row is a transaction. */
typedef struct train_sql train_sql;
deft_status train_sql_open(const char *path, deft_bytes config, int64_t step, train_sql **out,
                           deft_error *err);
deft_status train_sql_write(train_sql *s, const train_row *x, deft_error *err);
void train_sql_close(train_sql *s); // NULL is fine
/* Steps and steps a second of a file's progress, [*n] each, in a. */
deft_status train_sql_rates(const char *path, deft_arena *a, int32_t *n, const double **step,
                            const double **rate, deft_error *err);

#endif
