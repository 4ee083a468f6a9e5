/* policy.h - run a trained policy. Freestanding: no allocation, globals or I/O.
 * The caller owns image (read only, may stay in flash) and arena (state and scratch RAM);
 * both outlive the policy. Distinct policies may run in distinct threads. */
#ifndef DEFT_POLICY_H
#define DEFT_POLICY_H

#include "deft/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct deft_kernels deft_kernels; // see deft/kernels.h

/* Zero what you do not set: zero means the default. */
typedef struct deft_policy_config {
    const void *image;           // 16-byte aligned, see docs/format.md
    size_t image_size;           // bytes
    void *arena;                 // 16-byte aligned
    size_t arena_size;           // bytes, at least deft_policy_size()
    const deft_kernels *kernels; // NULL: what this runtime was built with
} deft_policy_config;

/* Transparent, so it can be static; read freely, write only through deft_policy_*. */
typedef struct deft_policy {
    deft_policy_config cfg; // copy
    uint16_t n_obs;         // observation length
    uint16_t n_act;         // action length
    uint16_t n_layer;
    uint16_t flags;
    uint32_t saturated;    // values clipped by the contract or by number formats since reset,
                           // at most UINT32_MAX
    uint32_t period_us;    // control period, 0 where unknown
    uint8_t policy_id[32]; // SHA-256 over everything that decides the result
    /* Private: offsets into image and arena. */
    uint32_t n_output;
    uint32_t directory, front_end, back_end, outputs, n_out_segment, selftest;
    uint32_t state_offset, state_size, value_offset, scratch_offset;
} deft_policy;

/* Bytes of arena the image needs (> 0), or a deft_status (< 0). Checks all that init checks. */
int32_t deft_policy_size(const void *image, size_t image_size);

/* Validates the image, binds it to the arena, resets. Nothing to release.
 * DEFT_E_ARG, DEFT_E_FORMAT, DEFT_E_VERSION, DEFT_E_LAYOUT, DEFT_E_SPACE; then *p is zeroed. */
deft_status deft_policy_init(deft_policy *p, const deft_policy_config *cfg);

/* Start of an episode: state and previous action to their initial values. */
void deft_policy_reset(deft_policy *p);

/* One control step, in bounded time.
 *   obs [n_obs]           in the order and units of the contract in the image
 *   applied_prev [n_act]  what was really sent to the actuators last time, in
 *                         the units of the contract; NULL: the last act
 *   act [n_act]           in the units of the contract, within its limits
 * DEFT_E_RANGE if an observation or applied_prev is not finite, or drives the arithmetic of the
 * network out of the range of finite numbers; act and state are then untouched. */
deft_status deft_policy_step(deft_policy *p, const float *obs, const float *applied_prev,
                             float *act);

/* Output of layer `index` in the last step (NULL for an index out of range); its length goes to
 * *n. Valid until the next step. For tests and for comparing policies layer by layer; layers whose
 * memory was reused later in the step give NULL. */
const float *deft_policy_layer_f32(const deft_policy *p, uint32_t index, uint32_t *n);

/* Runs the image's embedded test (a few recurrent steps) and compares every bit of the actions.
 * Leaves the policy reset. DEFT_E_MISMATCH; DEFT_E_UNSUPPORTED for an image without a test. */
deft_status deft_policy_selftest(deft_policy *p);

#ifdef __cplusplus
}
#endif

#endif
