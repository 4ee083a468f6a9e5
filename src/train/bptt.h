/* bptt.h - an encoder over whole sequences side by side, forward and back through time. Sequences
 * begin with a state of zeros; a GRU or LSTM without biases stays there as long as its input is
 * zero, so that zeros in front of a short sequence change nothing. */
#ifndef DEFT_TRAIN_BPTT_H
#define DEFT_TRAIN_BPTT_H

#include "train/encoder.h"
#include "train/net.h"

/* What a forward pass leaves for the backward pass; [steps][rows] of everything, H units. */
typedef struct deft_bptt {
    int steps, rows;
    int from;       // the first step that gradients reach; the caller's to change, 0
    const float *x; // [n_in], borrowed
    float *gate[DEFT_ENCODER_LAYERS];   // [g H] behind their functions; perceptron: the outputs
    float *inner[DEFT_ENCODER_LAYERS];  // [H] GRU: U_n h, before the reset; LSTM: tanh(c)
    float *cell[DEFT_ENCODER_LAYERS];   // LSTM: [steps + 1][rows][H], c of before the step
    float *hidden[DEFT_ENCODER_LAYERS]; // [steps + 1][rows][H], h of before the step
    float *product;                     // [rows][g H], U h
    float *d_gate, *d_own;              // [g H], by W x and by U h
    float *d[2];                        // [H], by a layer's outputs
    float *d_hidden, *d_cell;           // [rows][H], what comes from the next step
} deft_bptt;

/* Floats of memory for sequences of `steps`; fills t when mem is not NULL. e: sizes only. */
size_t deft_bptt_layout(const deft_encoder *e, const int shape[2], float *mem, deft_bptt *t);

/* x [steps][rows][n_in]. Returns the top layer's outputs, [steps][rows][H]. */
const float *deft_bptt_forward(const deft_train_ops *o, const deft_encoder *e, const float *param,
                               const float *x, deft_bptt *t);

/* grad [n_param] += gradient by the parameters, given d_top [steps][rows][H] by the outputs. Steps
 * before t->from are taken as given: nothing goes back into them. */
void deft_bptt_backward(const deft_train_ops *o, const deft_encoder *e, const float *param,
                        const float *d_top, deft_bptt *t, float *grad);

#endif
