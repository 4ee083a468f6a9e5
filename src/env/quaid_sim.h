/* quaid_sim.h - the robot's physics on MuJoCo: servos in, sensors out. Nothing of MuJoCo beyond it.
 */
#ifndef DEFT_ENV_QUAID_SIM_H
#define DEFT_ENV_QUAID_SIM_H

#include "deft/base.h"

enum { QUAID_SERVOS = 8 };

typedef struct quaid_sim quaid_sim;

/* What is read after the last physics step of a control step, in the model's units. */
typedef struct quaid_sensors {
    double quaternion[4]; // w, x, y, z
    double position[3], acceleration[3], gyro[3];
    double torque[QUAID_SERVOS]; // of the motors, in the order of actions
} quaid_sensors;

/* Factors of the scene's own values. */
typedef struct quaid_variation {
    double friction, mass;
    double servo_gain[QUAID_SERVOS]; // in the order of actions
} quaid_variation;

/* DEFT_E_IO, DEFT_E_FORMAT (MuJoCo rejects the file, or it lacks a joint, actuator or sensor: the
 * text names it), DEFT_E_UNSUPPORTED without MuJoCo. */
deft_status quaid_sim_create(const char *scene, quaid_sim **out, deft_error *err);
deft_status quaid_sim_clone(const quaid_sim *from, quaid_sim **out, deft_error *err);
void quaid_sim_destroy(quaid_sim *s); // NULL is fine

/* From the next reset on; NULL: as the scene says. The first variation gives s a model of its own.
 * DEFT_E_SPACE. */
deft_status quaid_sim_vary(quaid_sim *s, const quaid_variation *v, deft_error *err);
/* Changes the trunk's speed, model lengths a second. */
void quaid_sim_push(quaid_sim *s, double dx, double dy);
/* Starts over; velocities uniform in +-noise if rng is not NULL. */
deft_status quaid_sim_reset(quaid_sim *s, deft_rng *rng, double noise, deft_error *err);
/* 90 ms with the servos at control [QUAID_SERVOS] (position actuators, radians), in the order of
 * actions. DEFT_E_RANGE when the physics diverged. *seconds += time inside the physics. */
deft_status quaid_sim_run(quaid_sim *s, const float *control, double *seconds, deft_error *err);
/* Of the compiled scene, without what varies; 0: no memory for it. */
uint64_t quaid_sim_hash(const quaid_sim *s);
void quaid_sim_sense(const quaid_sim *s, quaid_sensors *out);

#endif
