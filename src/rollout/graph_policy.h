/* graph_policy.h - private: a graph as a policy, run by the reference evaluator. */
#ifndef DEFT_ROLLOUT_GRAPH_POLICY_H
#define DEFT_ROLLOUT_GRAPH_POLICY_H

#include "deft/base.h"
#include "deft/graph.h"

enum { GRAPH_OBSERVATION = -1, GRAPH_PREVIOUS = -2 };

/* What the inputs and outputs of a graph are to a policy. */
typedef struct graph_ports {
    int32_t *feeds; // [n_input] the output that is this input's next value, or one of the above
    int32_t action; // output
    int32_t hidden; // output whose last row is the top layer's state; -1: none
} graph_ports;

/* Pairs states: same shape (but for dimensions of 1) and, in this order, same name ("h_t_in",
 * "h_t"), similar name ("h0", "hn"), same order. An input "prev_action" or the like, of as many
 * elements as the action, is the previous action. in [n_input] and out [n_output]: tensors of one
 * run. p->feeds [n_input] is the caller's. DEFT_E_UNSUPPORTED where no action is left. */
deft_status graph_ports_find(const deft_graph *g, const deft_tensor *in,
                             const deft_tensor *const *out, graph_ports *p, deft_error *err);

typedef struct graph_policy graph_policy;
deft_status graph_policy_create(const deft_graph *g, graph_policy **out, deft_error *err);
void graph_policy_destroy(graph_policy *p);
const deft_graph *graph_policy_graph(const graph_policy *p);
int32_t graph_policy_n_input(const graph_policy *p); // elements of all observation inputs
int32_t graph_policy_n_act(const graph_policy *p);
bool graph_policy_discrete(const graph_policy *p); // the action is an index
/* The first n_act inputs (of more) are the previous action, from the next reset on. */
void graph_policy_feed_previous(graph_policy *p);
/* The network wants to see its previous action scaled from [lo, hi] to [-1, 1]. [n_act] each;
 * limits that are not finite leave the action as it is. */
void graph_policy_scale_previous(graph_policy *p, const float *lo, const float *hi);
void graph_policy_copy_settings(graph_policy *to, const graph_policy *from);
bool graph_policy_feeds_previous(const graph_policy *p);
void graph_policy_reset(graph_policy *p);
/* obs: n_input elements, n_act fewer where the previous action is fed. */
deft_status graph_policy_step(graph_policy *p, const float *obs, const float *applied_prev,
                              float *act, deft_error *err);
const float *graph_policy_hidden(const graph_policy *p, int32_t *n);

#endif
