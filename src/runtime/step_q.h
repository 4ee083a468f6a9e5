/* step_q.h - what the files that execute integer policies share. */
#ifndef DEFT_RUNTIME_STEP_Q_H
#define DEFT_RUNTIME_STEP_Q_H

#include "image/image_q.h"
#include "runtime/step.h"

enum { DEFT_QPIECES = 4 };

/* A layer, ready to be executed: with plenty of memory these are worked out once (deft_qstep_plan),
 * without, in each step. Places are bytes from the start of the arena. */
typedef struct deft_qplan {
    deft_image_qlayer layer;
    deft_output_q out;
    uint32_t x; // of its inputs, or of where to gather them
    uint32_t y, state, gates;
    uint32_t n_piece; // of the inputs, with plenty of memory and if there are few; else 0
    struct {
        uint32_t from, size;
    } piece[DEFT_QPIECES];
} deft_qplan;

/* One step's view of the arena. */
typedef struct deft_qstep {
    const deft_kernels_q *kernels;
    const uint8_t *image;
    uint32_t directory, tables;
    uint8_t *arena;
    const int16_t *obs, *prev; // [n_obs], [n_act]
    uint8_t *work;             // states, outputs, and from work_end backwards scratch
    uint8_t *work_end;
    const uint32_t *kept;   // [n_layer] places in work, NULL: those of the image
    const deft_qplan *plan; // [n_layer], NULL: none
    int started;
} deft_qstep;

deft_qstep deft_qstep_of(const deft_policy *p);
/* Where segment g's numbers are. */
const void *deft_qstep_source(const deft_qstep *s, deft_image_segment g);
/* The output of a layer after the step. */
uint8_t *deft_qstep_output(const deft_qstep *s, uint32_t index, const deft_image_qlayer *l);
void deft_qstep_plan(const deft_qstep *s, uint32_t index, deft_qplan *out);
/* Executes layer `index`. */
void deft_qstep_layer(const deft_qstep *s, uint32_t index);
/* A matrix of a recurrent layer, in 16 bits, and both of its inputs, one behind the other; returns
 * the second, that of the state. */
void deft_qstep_matrix(const deft_qstep *s, const deft_image_qlayer *l, uint32_t matrix,
                       const void *x, int16_t *y);
int16_t *deft_qstep_gates(const deft_qstep *s, const deft_qplan *p);

/* Layers by kind; their inputs are at p->x. */
typedef void deft_qrun(const deft_qstep *s, const deft_qplan *p);
deft_qrun deft_run_dense_q, deft_run_gru_q, deft_run_gru_before_q, deft_run_lstm_q,
    deft_run_pointwise_q, deft_run_history_q;

/* For callers that give so much memory that every output stays. */
typedef struct deft_qkept {
    /* Bytes of arena, or a status; work: where the working memory begins. */
    int32_t (*size)(const deft_image *im, uint32_t work);
    void (*bind)(deft_policy *p, const deft_image *im);
} deft_qkept;
extern const deft_qkept deft_qkept_all;

/* What integer policies may consist of. */
typedef struct deft_qparts {
    deft_qrun *run[DEFT_IMAGE_HISTORY + 1]; // by kind, 0: a GRU that resets before; NULL: left out
    int (*served)(const deft_kernels_q *k, uint8_t kind); // has k, besides matrices, what it needs?
    const deft_qkept *kept;                               // NULL: memory is always used again
    /* deft_choose_q; NULL: the images of this runtime have one discrete action at most. */
    void (*choose)(const deft_qstep *s, const deft_policy *p, const deft_image_back *b, float *act);
} deft_qparts;
extern const deft_qparts deft_qparts_all;

static inline deft_qrun *deft_qrun_of(const deft_image_qlayer *l)
{
    return deft_runtime_parts.q_parts->run[l->n_matrix > 2 ? 0 : l->kind];
}

/* Kernels index formats from 0. */
static inline deft_dense_q *deft_dense_of(const deft_kernels_q *k, const deft_matrix_q *m,
                                          uint8_t in_format)
{
    const uint32_t w = (uint32_t)m->format - DEFT_NUM_S8; // S8, S4; before them S16
    return k->dense[m->layout][w < DEFT_Q_S16 ? w : DEFT_Q_S16][in_format == DEFT_NUM_S16];
}

/* A float as an integer of [lo, hi]. Its three callers have one of it each but where size counts.
 */
#if defined(__OPTIMIZE_SIZE__) && defined(__GNUC__)
__attribute__((noinline))
#endif
int32_t
deft_to_fixed(float v, int32_t lo, int32_t hi, uint32_t *clipped);
/* The ends: n observations to numbers; outputs to actions; actions to the previous action. All
 * return how many values were clipped. */
uint32_t deft_front_end_q(const deft_image_front *f, const float *obs, int16_t *x, uint32_t n);
uint32_t deft_back_end_q(const deft_qstep *s, const deft_policy *p, const deft_image_back *b,
                         float *act);
/* Several discrete actions in the place of deft_back_end_q. */
void deft_choose_q(const deft_qstep *s, const deft_policy *p, const deft_image_back *b, float *act);
uint32_t deft_previous_q(const deft_image_front *f, const deft_image_end *back, const float *act,
                         int16_t *prev, uint32_t n);

#endif
