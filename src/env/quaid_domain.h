/* quaid_domain.h - what varies, and what the policy is shown: draws of deft_domain. */
#ifndef DEFT_ENV_QUAID_DOMAIN_H
#define DEFT_ENV_QUAID_DOMAIN_H

#include "deft/env.h"
#include "env/quaid_sim.h"

enum { QUAID_OBS = 17, QUAID_MAX_DELAY = 3 };

typedef struct quaid_domain {
    deft_domain cfg;
    bool on; // this episode
    deft_rng rng;
    int32_t delay;                              // steps, of this episode
    int32_t taken;                              // observations since the reset
    float servo_offset[QUAID_SERVOS];           // rad
    float sent[QUAID_MAX_DELAY + 1][QUAID_OBS]; // a ring, by `taken`
    float seen[QUAID_OBS];
} quaid_domain;

bool quaid_domain_is_zero(const deft_domain *c);
/* DEFT_E_ARG: the text names what is out of range. */
deft_status quaid_domain_check(const deft_domain *c, deft_error *err);
/* A new episode: varies the simulation, which is to be reset afterwards. seed NULL: nothing varies.
 */
deft_status quaid_domain_start(quaid_domain *d, const uint64_t *seed, quaid_sim *sim,
                               deft_error *err);
/* Before a step's physics. */
void quaid_domain_push(quaid_domain *d, quaid_sim *sim);
/* obs [QUAID_OBS], as true; becomes as seen. Once a reset and once a step. */
void quaid_domain_observe(quaid_domain *d, float *obs);

#endif
