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
bool model_reads_previous(const deft_model *m);

/* x = (v - offset) * scale, clipped to [lo, hi]. */
typedef struct model_map {
    double offset, scale;
    float lo, hi;
} model_map;
model_map model_map_of(const deft_contract *c, int32_t i); // what it does to observation i
bool model_map_is_identity(const model_map *m);
/* A layer that applies map [from.length] to what it reads. DEFT_E_UNSUPPORTED where not all are
 * clipped alike. */
deft_status model_affine_layer(deft_model *m, const char *name, const model_map *map,
                               deft_segment from, deft_layer *l, deft_error *err);

/* Some consecutive inputs that a policy has now, and what they become: `by` begins at its offset;
 * LAYER is one of the new layers. */
typedef struct model_block {
    int32_t length;
    deft_segment by;
} model_block;
typedef struct model_inputs {
    int32_t n_block; // together all inputs
    const model_block *block;
    int32_t n_layer; // new layers, which come before all others and read OBS, PREV and each other
    const deft_layer *layer;
} model_inputs;
/* The contract's own arrays and n_obs are left to the caller. */
deft_status model_replace_inputs(deft_model *m, const model_inputs *in, deft_error *err);

#endif
