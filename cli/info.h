/* info.h - what the files of 'deft info' share. */
#ifndef DEFT_CLI_INFO_H
#define DEFT_CLI_INFO_H

#include "deft/app.h"
#include "output.h"

/* "obs[0:17] + 0": where the inputs of a layer come from. width: outputs of layer k, by index. */
const char *info_sources(const int32_t *width, const deft_segment *s, int32_t n, deft_arena *a);

/* The policy of an integer image. */
void info_print_integers(const deft_loaded *l);
void info_print_actions(const deft_contract *c); // how many, and of what kind
void info_json_integers(json_t *j, const deft_loaded *l);
/* Names, units, ranges and notes. */
void info_json_contract(json_t *j, const deft_contract *c);

#endif
