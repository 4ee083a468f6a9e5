/* step.h - what the files of the runtime share. */
#ifndef DEFT_RUNTIME_STEP_H
#define DEFT_RUNTIME_STEP_H

#include "deft/policy.h"
#include "image/image.h"
#include "kernels/kernel_set.h"

/* Flags of deft_policy. */
enum {
    DEFT_POLICY_DISCRETE = DEFT_IMAGE_DISCRETE,
    DEFT_POLICY_ODD = 2,     // which half of the state is the current one
    DEFT_POLICY_STARTED = 4, // a step was made since the reset
    DEFT_POLICY_KEPT = 8,    // integer: no memory is used twice, places are in the arena
};

/* How one family of policies, float32 or integer, is executed. */
typedef struct deft_engine {
    /* Bytes of arena, or a status; kept: every output stays, DEFT_E_UNSUPPORTED if it never does.
     */
    int32_t (*size)(const deft_image *im, int kept);
    /* Can these kernels run the policy? */
    deft_status (*served)(const deft_image *im, const deft_kernels *k);
    /* Lays out the arena, which is large enough; p holds what policies have in common. */
    void (*bind)(deft_policy *p, const deft_image *im);
    void (*reset)(deft_policy *p);
    deft_status (*step)(deft_policy *p, const float *obs, const float *applied, float *act);
    void (*layer)(const deft_policy *p, uint32_t index, deft_layer_output *out);
    /* Does this machine, and how all this was compiled, round floats as it must? */
    int (*rounds)(const deft_policy *p);
} deft_engine;

/* What a runtime consists of: one object that pulls in the rest. A firmware that needs less links
 * one of runtime/parts in the place of defaults.c. */
typedef struct deft_runtime {
    const deft_kernels *kernels;                    // where the caller names none
    const deft_engine *f32, *q;                     // NULL: left out
    const deft_image_family *f32_images, *q_images; // what their images may hold; NULL likewise
    const struct deft_qparts *q_parts;              // integer layers: step_q.h
} deft_runtime;
extern const deft_runtime deft_runtime_parts;
extern const deft_engine deft_engine_f32, deft_engine_q;

/* Adds to the count of clipped values. */
void deft_policy_clipped(deft_policy *p, uint32_t n);

/* One step's view of the arena of a float policy. All floats. */
typedef struct deft_step {
    const deft_kernels_f32 *kernels;
    const uint8_t *image;
    uint32_t directory;
    const float *obs;       // [n_obs] behind the front end
    const float *prev;      // [n_act] in the units of the network
    const uint32_t *offset; // [n_layer] of its output in `values`, or of its state
    float *values;
    const float *old_state;
    float *new_state;
    float *scratch;
    int started;
} deft_step;

/* Floats of state a layer keeps from step to step. */
uint32_t deft_layer_state(const deft_image_layer *l);
/* Floats of scratch a layer needs besides gathering its inputs. */
uint32_t deft_layer_scratch(const deft_image_layer *l);
/* The inputs that n segments name: in place where they are one piece, else gathered in into. */
const float *deft_step_gather(const deft_step *s, const uint8_t *segments, uint32_t n, float *into);
/* Executes layer `index`. */
void deft_step_layer(const deft_step *s, uint32_t index);

/* Front end: n_obs values to x; returns how many were clipped. Back end likewise: the network's y
 * to actions; and the previous action back into the network's units. */
uint32_t deft_front_end(const deft_image_end *e, const float *obs, float *x, uint32_t n);
uint32_t deft_back_end(const deft_image_end *e, const float *y, float *act, uint32_t n);
void deft_back_end_inverse(const deft_image_end *e, const float *act, float *prev, uint32_t n);
float deft_argmax(const float *y, uint32_t n); // the first of equals
/* One index an action: of its own outputs, of which choices (u16 each; NULL: all) tells how many.
 */
void deft_choose(const float *y, const uint8_t *choices, uint32_t n_output, float *act,
                 uint32_t n_act);

/* What layers do besides products with matrices: y += x; y = a + b; y = a b; and in recurrent ones
 * h' = c + z (h - c) and c' = f c + i g, gates [4][n] in the order i, f, g, o. Layer normalisation
 * and affine take m's weights and bias, one for each of n_out. */
void deft_add_to_f32(float *y, const float *x, uint32_t n);
void deft_sum_f32(const float *a, const float *b, float *y, uint32_t n);
void deft_product_f32(const float *a, const float *b, float *y, uint32_t n);
void deft_blend_f32(const float *c, const float *z, const float *h, float *h_new, uint32_t n);
void deft_cell_f32(const float *gates, const float *c, float *c_new, uint32_t n);
void deft_layernorm_f32(const deft_matrix_f32 *m, float epsilon, const float *x, float *y);
void deft_affine_f32(const deft_matrix_f32 *m, const float *x, float *y);

/* Known sums give the bits that they should; for self-tests, whatever the policy. The second: what
 * float policies rely on besides. */
int deft_floats_round(void);
int deft_floats_round_f32(deft_dense_f32 *rows);

#endif
