/* lint.h - private: what the rules of deft_model_lint share. Each rule adds at most one warning a
 * layer; texts are one sentence with numbers, strings from files escaped. */
#ifndef DEFT_GRAPH_LINT_H
#define DEFT_GRAPH_LINT_H

#include "graph/model_private.h"

typedef struct lint {
    const deft_model *m;
    const deft_graph *g; // may be NULL
    deft_arena *a;
    deft_warning *list;
    int32_t n, capacity;
    bool out_of_memory;
} lint;

void lint_add(lint *l, const char *code, const char *fmt, ...) DEFT_PRINTF(3, 4);
void *lint_alloc(lint *l, size_t count, size_t size); // zeroed; NULL sets out_of_memory

enum { LINT_LABEL = 160 };
/* "layer 3 'actor.0' (dense)" and "observation 4 'yaw'"; return buf. */
const char *lint_layer(const lint *l, int32_t k, char buf[LINT_LABEL]);
const char *lint_observation(const lint *l, int32_t i, char buf[LINT_LABEL]);
const char *lint_action(const lint *l, int32_t i, char buf[LINT_LABEL]);

/* The matrices of a layer over its inputs (which 0) and over its state (which 1). */
typedef struct lint_matrix {
    const float *w; // [rows][cols], NULL: there is none
    int32_t rows, cols;
} lint_matrix;
lint_matrix lint_matrix_of(const deft_layer *l, int which);

void lint_contract(lint *l); // names, limits, period, previous action, scales
void lint_graph(lint *l);    // what only the graph shows
void lint_weights(lint *l);  // untrained, huge, outlying, uneven, duplicate
void lint_flow(lint *l);     // what nothing depends on
void lint_run(lint *l);      // what shows when it runs: gates, actions, states, units

#endif
