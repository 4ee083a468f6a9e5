/* model_private.h - private: what the passes over the canonical policy share. */
#ifndef DEFT_GRAPH_MODEL_PRIVATE_H
#define DEFT_GRAPH_MODEL_PRIVATE_H

#include "deft/model.h"

enum { MODEL_MAX_LAYERS = 4096 };

int32_t model_gates(deft_layer_kind k); // matrices a layer has over its inputs; 0: none
bool model_has_h(deft_layer_kind k);    // GRU and LSTM
/* What layer k (n_layer: the output) reads. Returns the number of segments. */
int32_t model_segments(const deft_model *m, int32_t k, deft_segment **out);
/* The state that the next step finds of a GRU or HISTORY, or the h of an LSTM: [n_out], to be
 * written to; NULL for other layers. Until the next step. */
float *model_eval_state(deft_model_eval *e, int32_t layer);
/* What output o of a dense layer is a sum of, as sizes: sum of |w x| and |b|, in the last step. 0
 * for other layers. */
double model_eval_terms(deft_model_eval *e, int32_t layer, int32_t o);

#endif
