/* encoder.h - what stands in front of actor and critic: nothing, a stack of the last observations,
 * or a GRU or LSTM whose top state is appended. Frozen while the agent learns: features are stored
 * in the replay buffer. */
#ifndef DEFT_TRAIN_ENCODER_H
#define DEFT_TRAIN_ENCODER_H

#include "train/gemm.h"

enum { DEFT_ENCODER_LAYERS = 8 };

typedef enum deft_encoder_kind {
    DEFT_ENCODER_NONE = 0,
    DEFT_ENCODER_GRU,
    DEFT_ENCODER_LSTM,
    DEFT_ENCODER_STACK, // the last `depth` inputs, oldest first
} deft_encoder_kind;

/* Input x: the previous action (if previous), then the observation. Features: x, then the top
 * layer's new state; a stack: the last `depth` x. */
typedef struct deft_encoder {
    deft_encoder_kind kind;
    int n_obs, n_act;
    bool previous;
    int n_layer, hidden; // recurrent; no biases, as in the paper
    int depth;           // stack
    float *param; // for each layer W [g H][n_in], U [g H][H], g = 3 (r, z, n) or 4 (i, f, g, o)
    int n_param;
    int n_in, n_feature, n_state;
} deft_encoder;

/* Fills the sizes from kind, n_obs, n_act, previous, n_layer, hidden, depth and allocates param
 * (zeros). */
deft_status deft_encoder_init(deft_encoder *e, deft_error *err);
void deft_encoder_free(deft_encoder *e);
/* Uniform in +-1 / sqrt(hidden), as PyTorch's nn.GRU. */
void deft_encoder_randomize(deft_encoder *e, deft_rng *rng);
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
