/* encoder.h - what stands in front of actor and critic: nothing, a stack of the last observations,
 * or a GRU, LSTM or perceptron whose top layer is appended. Here one step of it, to act by; bptt.h
 * has whole sequences, to learn from. */
#ifndef DEFT_TRAIN_ENCODER_H
#define DEFT_TRAIN_ENCODER_H

#include "train/gemm.h"
#include "train/vec.h"

enum { DEFT_ENCODER_LAYERS = 8 };

typedef enum deft_encoder_kind {
    DEFT_ENCODER_NONE = 0,
    DEFT_ENCODER_GRU,
    DEFT_ENCODER_LSTM,
    DEFT_ENCODER_STACK, // the last `depth` inputs, oldest first
    DEFT_ENCODER_MLP,   // without memory
} deft_encoder_kind;

/* Input x: the previous action (if previous), then the observation. Features: x, then the top
 * layer's new state; a stack: the last `depth` x. */
typedef struct deft_encoder {
    deft_encoder_kind kind;
    int n_obs, n_act;
    bool previous;
    int n_layer, hidden; // recurrent: no biases, as in the paper
    deft_unit unit;      // perceptron: of every layer
    int depth;           // stack
    float *param; // for each layer W [g H][n_in], U [g H][H], g = 3 (r, z, n) or 4 (i, f, g, o);
                  // perceptron: W [H][n_in], b [H]
    int n_param;
    int n_in, n_feature, n_state;
} deft_encoder;

/* Fills the sizes from kind, n_obs, n_act, previous, n_layer, hidden, depth and allocates param
 * (zeros). */
deft_status deft_encoder_init(deft_encoder *e, deft_error *err);
void deft_encoder_free(deft_encoder *e);
/* Uniform in +-1 / sqrt(hidden), as PyTorch's nn.GRU; a perceptron's as its nn.Linear. */
void deft_encoder_randomize(deft_encoder *e, deft_rng *rng);
/* Rows of W a unit: 3 or 4; 1 for a perceptron. */
int deft_encoder_gates(const deft_encoder *e);
bool deft_encoder_learns(const deft_encoder *e); // has parameters
/* Where layer l's W begins in param, and its inputs. */
int deft_encoder_layer(const deft_encoder *e, int l, int *n_in);

/* What an encoder goes through an episode with; all the caller's. */
typedef struct deft_encoder_memory {
    float *state;   // [n_state], zeros at the start of an episode
    float *feature; // [n_feature], the result of a step
    float *scratch; // [8 hidden]
} deft_encoder_memory;

/* One step. first: of an episode, which fills a whole stack. prev_act is not read unless
 * e->previous. */
void deft_encoder_step(const deft_encoder *e, const float *obs, const float *prev_act, bool first,
                       const deft_encoder_memory *m);

#endif
