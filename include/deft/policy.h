/* policy.h - run a trained policy. Freestanding: no allocation, globals or I/O.
 * The caller owns image (read only, may stay in flash) and arena (state and scratch RAM);
 * both outlive the policy. Distinct policies may run in distinct threads. */
#ifndef DEFT_POLICY_H
#define DEFT_POLICY_H

#include "deft/number.h"
#include "deft/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct deft_kernels deft_kernels; // see deft/kernels.h
struct deft_engine;

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
    uint32_t saturated;    // observations, previous actions and actions that were clipped, by the
                           // contract or by their number format, since reset; at most UINT32_MAX
    uint32_t period_us;    // control period, 0 where unknown
    uint8_t policy_id[32]; // SHA-256 over everything that decides the result
    /* Private: offsets into image and arena. */
    const struct deft_engine *engine;
    uint32_t n_output;
    uint32_t directory, front_end, back_end, outputs, n_out_segment, selftest, tables, choices;
    uint32_t state_offset, state_size, value_offset, scratch_offset, act_offset;
} deft_policy;

/* Bytes of arena the image needs (> 0), or a deft_status (< 0): what init would refuse of the image
 * with this runtime's own kernels. */
int32_t deft_policy_size(const void *image, size_t image_size);
/* With an arena of so many bytes every layer's output stays readable until the next step
 * (deft_policy_layer); integer policies need fewer, because memory is used again.
 * DEFT_E_UNSUPPORTED where this runtime always does. */
int32_t deft_policy_size_kept(const void *image, size_t image_size);

/* Validates the image, binds it to the arena, resets. Nothing to release.
 * DEFT_E_ARG, DEFT_E_FORMAT, DEFT_E_VERSION, DEFT_E_LAYOUT (a layout that the kernels do not
 * serve), DEFT_E_UNSUPPORTED (a policy of a kind that they or this runtime leave out),
 * DEFT_E_SPACE; then *p is zeroed, and step, selftest and layer refuse it with DEFT_E_ARG. */
deft_status deft_policy_init(deft_policy *p, const deft_policy_config *cfg);

/* Start of an episode: state and previous action to their initial values. Does nothing where init
 * failed. */
void deft_policy_reset(deft_policy *p);

/* One control step, in bounded time.
 *   obs [n_obs]           in the order and units of the contract in the image
 *   applied_prev [n_act]  what was really sent to the actuators last time, in
 *                         the units of the contract; NULL: the last act
 *   act [n_act]           in the units of the contract, within its limits
 * DEFT_E_RANGE if an observation or applied_prev is not finite, or drives the float arithmetic of
 * the network out of the range of finite numbers, DEFT_E_ARG where init failed; act and state are
 * then untouched. */
deft_status deft_policy_step(deft_policy *p, const float *obs, const float *applied_prev,
                             float *act);

typedef struct deft_layer_output {
    const void *data;   // float, uint8_t or int16_t [n]
    uint32_t n;         // 0: none
    deft_number format; // DEFT_NUM_F32, U8, S16
} deft_layer_output;

/* Output of layer `index` in the last step, valid until the next one. For tests and for comparing
 * policies layer by layer. DEFT_E_ARG for an index out of range; DEFT_E_UNSUPPORTED for a layer
 * whose memory was used again since: give init an arena of deft_policy_size_kept() bytes. */
deft_status deft_policy_layer(const deft_policy *p, uint32_t index, deft_layer_output *out);
/* The same for layers of floats, else NULL. */
const float *deft_policy_layer_f32(const deft_policy *p, uint32_t index, uint32_t *n);

/* Runs the image's embedded test (a few recurrent steps) and compares every bit of the actions.
 * Leaves the policy reset. DEFT_E_MISMATCH; DEFT_E_UNSUPPORTED for an image without a test;
 * DEFT_E_ARG where init failed. */
deft_status deft_policy_selftest(deft_policy *p);

#ifdef __cplusplus
}
#endif

#endif
