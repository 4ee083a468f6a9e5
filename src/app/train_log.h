/* train_log.h - private: what a training run tells, line by line, in three forms:
 *   progress.csv              of nothing but the run: equal runs write equal bytes
 *   run.sqlite                tables config, progress, evaluations
 *   events.out.tfevents.*     for TensorBoard
 * All of a line is with the system before train_log_write returns, so that kill -9 loses none. */
#ifndef DEFT_APP_TRAIN_LOG_H
#define DEFT_APP_TRAIN_LOG_H

#include "app/tfevents.h"
#include "app/train_checkpoint.h"
#include "deft/train_run.h"

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

/* How a log begins. resume: after `step`, at which progress.csv was as `mark` says. */
typedef struct train_log_start {
    const char *dir;
    const deft_train_setup *setup;
    deft_bytes config; // the JSON of the run
    int64_t step;
    train_mark mark;
    bool resume;
    void (*notice)(void *user, const char *dir, const char *text); // what is lost; or NULL
    void *user;
} train_log_start;

/* Lines of later steps are taken out; what is missing or changed is restored from what the other
 * file holds, and what was there before is kept beside. Formats that are not there yet are begun.
 * DEFT_E_MISMATCH: run.sqlite is of another run; DEFT_E_IO, DEFT_E_SPACE. */
deft_status train_log_open(const train_log_start *start, train_log **out, deft_error *err);
train_mark train_log_mark(const train_log *l); // of progress.csv as it is
deft_status train_log_write(train_log *l, const train_row *x, deft_error *err);
deft_status train_log_sync(train_log *l, deft_error *err);  // progress.csv to the disk
deft_status train_log_close(train_log *l, deft_error *err); // NULL is fine

/* progress.csv alone: its first line, and one of it. */
#define TRAIN_CSV_HEAD                                                                             \
    "step,update,episodes,return,critic_loss,actor_loss,q,alpha,eval_return,eval_sd,"              \
    "eval_distance_cm\n"
enum { TRAIN_CSV_LINE = 512 };
void train_row_print(char to[TRAIN_CSV_LINE], const train_row *x);

/* run.sqlite alone; each row is a transaction. */
typedef struct train_sql train_sql;
deft_status train_sql_open(const char *path, deft_bytes config, int64_t step, train_sql **out,
                           deft_error *err);
deft_status train_sql_write(train_sql *s, const train_row *x, deft_error *err);
/* Those of n rows that it has none of the step of. */
deft_status train_sql_add(train_sql *s, const train_row *x, int64_t n, deft_error *err);
void train_sql_close(train_sql *s); // NULL is fine
/* What a file holds up to `step`, as the text of a progress.csv, in a; nothing is changed.
 * DEFT_E_MISMATCH: it is of a run with another config; DEFT_E_FORMAT: damaged. */
deft_status train_sql_text(const char *path, deft_bytes config, int64_t step, deft_arena *a,
                           deft_bytes *out, deft_error *err);
/* Steps and steps a second of a file's progress, [*n] each, in a. */
deft_status train_sql_rates(const char *path, deft_arena *a, int32_t *n, const double **step,
                            const double **rate, deft_error *err);

/* train_mend.c, before the files are opened: progress.csv as it should be, run.sqlite out of the
 * way where it is damaged. *mark: of what is in progress.csv then. */
deft_status train_mend_logs(const train_log_start *start, train_mark *mark, deft_error *err);
/* And when they are: rows that run.sqlite lacks. */
deft_status train_mend_sql(const train_log_start *start, train_sql *to, deft_error *err);

#endif
