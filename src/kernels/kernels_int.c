/* kernels_int.c - what a device that runs integer policies alone links: no float layers, no panels.
 * Part of the freestanding runtime. */
#include "kernels/kernel_set.h"

const deft_kernels_q deft_kernels_q_rows = {
    {{{deft_dense_s8_u8_ref, deft_dense_s8_s16_ref},
      {deft_dense_s4_u8_ref, deft_dense_s4_s16_ref},
      {deft_dense_s16_u8_ref, deft_dense_s16_s16_ref}},
     {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}}},
    deft_gru_q_ref,
    deft_lstm_q_ref,
    deft_pointwise_q_ref,
    NULL,
};

const deft_kernels deft_kernels_int = {"int", NULL, &deft_kernels_q_rows};
