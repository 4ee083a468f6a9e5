/* log.h - private: episodes in an SQLite file, in the schema of the robot's own logs.
 *
 * Every table has id, episode_no and (but for episodes) step. A row belongs to one control step:
 * the action, then the observation and the reward at its end; time is milliseconds of simulated
 * time since the reset, also at its end. Columns are filled from the environment's channels: those
 * of the table observations from the channel of their name, those of the others from "reward.NAME",
 * "action.NAME" and "theta.NAME"; else from what every environment tells (log_field), else they are
 * NULL. Without any theta channel, theta_updates stays empty. */
#ifndef DEFT_ROLLOUT_LOG_H
#define DEFT_ROLLOUT_LOG_H

#include "deft/base.h"
#include "deft/env.h"

typedef enum log_field {
    LOG_REWARD = 0,
    LOG_DISTANCE,
    LOG_CURRENT,
    LOG_INFERENCE_US,
    LOG_DONE,
    LOG_FIELDS,
} log_field;

/* One step is a row of doubles: channels, then the action, then the fields. */
typedef struct log_shape {
    int32_t n_channel, n_act;
    const char *const *channel; // [n_channel]
    double period_ms;
} log_shape;

static inline int32_t log_width(const log_shape *s)
{
    return s->n_channel + s->n_act + LOG_FIELDS;
}

typedef struct log_episode {
    double *row; // [steps][log_width]
    int32_t steps;
    double reward, wall_seconds;
} log_episode;

typedef struct rollout_log rollout_log;

/* Creates the file or opens a log to append to. shape is copied, channel names are not kept.
 * DEFT_E_IO; DEFT_E_FORMAT, and the file is untouched, where it is something else. */
deft_status log_open(const char *path, const log_shape *shape, rollout_log **out, deft_error *err);
/* One transaction; the episode's number follows the largest in the file. DEFT_E_IO. */
deft_status log_write(rollout_log *l, const log_episode *e, deft_error *err);
void log_close(rollout_log *l); // NULL is fine

#endif
