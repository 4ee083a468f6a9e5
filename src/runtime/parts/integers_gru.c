/* integers_gru.c - a runtime for policies of dense and GRU layers with int8 weights in rows; linked
 * in the place of defaults.c it leaves out everything else. Part of the freestanding runtime. */
#include "runtime/step.h"

static const deft_kernels_q kernels_q = {
    {{{deft_dense_s8_u8_ref, deft_dense_s8_s16_ref}, {NULL, NULL}, {NULL, NULL}},
     {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}}},
    deft_gru_q_ref,
    NULL,
    NULL,
};
static const deft_kernels kernels = {"int8 dense and GRU", NULL, &kernels_q};

const deft_runtime deft_runtime_parts = {&kernels, NULL, &deft_engine_q};
