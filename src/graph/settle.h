/* settle.h - private: what the steps of deft_graph_settle share: a graph run on tensors of the
 * shapes that its ports declare. */
#ifndef DEFT_GRAPH_SETTLE_H
#define DEFT_GRAPH_SETTLE_H

#include "deft/graph.h"

typedef struct settle_probe {
    const deft_graph *g;
    deft_graph_eval *eval;
    deft_arena *arena, *data; // of the lists below, of their tensors
    deft_tensor *in;          // [g->n_input], for the caller to fill
    const deft_tensor **out;  // [g->n_output], of the last run
    int64_t *left;            // work, in the units of deft_op_env
} settle_probe;

/* Sizes that a port does not declare are 1, a shape that it does not declare is [1, 1]. */
deft_status settle_probe_init(settle_probe *p, const deft_graph *g, int64_t *left, deft_error *err);
/* Inputs of the shapes that the ports declare now. */
deft_status settle_probe_shape(settle_probe *p, deft_error *err);
void settle_probe_free(settle_probe *p);
/* Normal numbers; whole ones from 0 to 3 for integers, 0 or 1 for booleans. */
void settle_fill(deft_tensor *t, deft_rng *rng);
/* DEFT_E_RANGE where no work is left. */
deft_status settle_run(settle_probe *p, deft_error *err);
/* The outputs of the last run one after the other, in a. NULL: no memory. */
double *settle_outputs(const settle_probe *p, deft_arena *a, int64_t *n);
/* Are these the same numbers, but for rounding? */
bool settle_same(const double *a, const double *b, int64_t n);

deft_status settle_note(deft_graph *g, const char *fmt, ...) DEFT_PRINTF(2, 3);

/* The steps, see deft_graph_settle. */
deft_status settle_shapes(deft_graph *g, int64_t *left, deft_error *err);
deft_status settle_rows(deft_graph *g, int64_t *left, deft_error *err);
deft_status settle_resets(deft_graph *g, int64_t *left, deft_error *err);

#endif
