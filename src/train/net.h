/* net.h - multilayer perceptrons, forward and backward, over batches [rows][width], row-major.
 *
 * A layer is y = f(norm(drop(x W^T + b))), in the order of DroQ (Hiraoka et al. 2022); the last
 * layer is linear.
 * Parameters of a network are one vector: for each layer W [n_out][n_in], b [n_out], and with
 * LayerNorm gamma [n_out], beta [n_out]. All memory is the caller's. */
#ifndef DEFT_TRAIN_NET_H
#define DEFT_TRAIN_NET_H

#include "train/gemm.h"
#include "train/vec.h"

enum { DEFT_NET_LAYERS = 8 };

typedef struct deft_net {
    int n_layer;
    int width[DEFT_NET_LAYERS + 1]; // inputs, then outputs of each layer
    deft_unit hidden;
    bool layer_norm; // hidden layers
    float dropout;   // of hidden layers, probability; 0: none
} deft_net;

/* What a forward pass leaves for the backward pass. */
typedef struct deft_tape {
    int rows;
    const float *x;                     // [rows][width[0]], the input, borrowed
    float *y[DEFT_NET_LAYERS];          // [rows][width[l + 1]], outputs of layers
    float *n[DEFT_NET_LAYERS];          // normalised, with LayerNorm
    float *r[DEFT_NET_LAYERS];          // [rows]
    const float *mask[DEFT_NET_LAYERS]; // [rows][width], 0 or 1 / (1 - dropout); NULL: no dropout
    float *d[2];                        // gradients of outputs, two buffers of the widest layer
} deft_tape;

typedef struct deft_train_ops {
    const deft_blas *blas;
    const deft_vec *vec;
} deft_train_ops;

int deft_net_params(const deft_net *n);
int deft_net_offset(const deft_net *n, int layer); // of W of a layer among the parameters
/* Floats of memory that a tape for `rows` rows takes; fills t when mem is not NULL. */
size_t deft_tape_layout(const deft_net *n, int rows, float *mem, deft_tape *t);

/* PyTorch's nn.Linear: W and b uniform in +-1 / sqrt(n_in); gamma 1, beta 0. */
void deft_net_init(const deft_net *n, float *param, deft_rng *rng);

/* Returns the outputs, [rows][width[n_layer]]. */
const float *deft_net_forward(const deft_train_ops *o, const deft_net *n, const float *param,
                              const float *x, deft_tape *t);

/* Where the gradients go. */
typedef struct deft_net_grad {
    float *param;       // += ; NULL: not wanted
    float *input;       // =, [rows][n_input]; NULL: not wanted
    int first, n_input; // which columns of the input
} deft_net_grad;
/* d [rows][width[n_layer]]: gradient of the loss by the outputs. */
void deft_net_backward(const deft_train_ops *o, const deft_net *n, const float *param,
                       const float *d, deft_tape *t, const deft_net_grad *g);

#endif
