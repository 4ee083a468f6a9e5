/* kernels_q_panels.c - integer matrices in panels, in plain C: for hosts without anything better,
 * and to compare with. Part of the freestanding runtime. */
#include "image/image.h"
#include "kernels/fixed.h"

static void dense_panels(const deft_matrix_q *m, const void *x, uint8_t format,
                         const deft_output_q *out, void *y)
{
    for (uint32_t o = 0; o < m->n_out; o++) {
        int32_t acc = m->bias ? m->bias[o] : 0;
        for (uint32_t i = 0; i < m->n_in; i++) {
            acc += deft_matrix_weight(m, o, i) * deft_input(format, x, i);
        }
        deft_put(out, deft_requant(acc, m->multiplier[o], m->shift), y, o);
    }
}

void deft_dense_panels_u8_ref(const deft_matrix_q *m, const void *x, const deft_output_q *out,
                              void *y)
{
    dense_panels(m, x, DEFT_NUM_U8, out, y);
}

void deft_dense_panels_s16_ref(const deft_matrix_q *m, const void *x, const deft_output_q *out,
                               void *y)
{
    dense_panels(m, x, DEFT_NUM_S16, out, y);
}

const deft_kernels_q deft_kernels_q_ref = {
    {{{deft_dense_s8_u8_ref, deft_dense_s8_s16_ref},
      {deft_dense_s4_u8_ref, deft_dense_s4_s16_ref},
      {deft_dense_s16_u8_ref, deft_dense_s16_s16_ref}},
     {{deft_dense_panels_u8_ref, deft_dense_panels_s16_ref},
      {deft_dense_panels_u8_ref, deft_dense_panels_s16_ref},
      {NULL, NULL}}},
    deft_gru_q_ref,
    deft_lstm_q_ref,
    deft_pointwise_q_ref,
    NULL,
};
