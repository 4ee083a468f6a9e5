/* contract_json.h - private: the contract and what else ONNX cannot say, as JSON. */
#ifndef DEFT_FORMATS_CONTRACT_JSON_H
#define DEFT_FORMATS_CONTRACT_JSON_H

#include "deft/model.h"

/* The value of the metadata key "deft.contract". Infinite limits are null; numbers have 17 digits,
 * so that they come back exactly. The bytes live in a; NULL if memory ran out. */
char *contract_to_json(const deft_model *m, deft_arena *a);

/* Does anything in m read the previous action? */
bool contract_feeds_previous(const deft_model *m);

/* Fills m->contract from that text. Numbers that the graph does in its nodes too ("folded") are
 * taken where the graph's own, already in m->contract, agree with them. DEFT_E_FORMAT for another
 * text, DEFT_E_MISMATCH where it does not fit m. */
deft_status contract_from_json(const char *text, deft_model *m, deft_error *err);

#endif
