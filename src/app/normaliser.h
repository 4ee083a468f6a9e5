/* normaliser.h - private: statistics of observations that are in a file beside the policy's. */
#ifndef DEFT_APP_NORMALISER_H
#define DEFT_APP_NORMALISER_H

#include "deft/app.h"

/* Reads the file of --normalizer into the options of the assembly. Where there is none but one is
 * beside the policy, l->note names it. */
deft_status load_normaliser(deft_loaded *l, const deft_load_options *opt, deft_assemble_options *to,
                            deft_error *err);

#endif
