/* parts_q.c - every kind of integer layer. Part of the freestanding runtime. */
#include "runtime/step_q.h"

static int served(const deft_kernels_q *k, uint8_t kind)
{
    switch (kind) {
    case DEFT_IMAGE_DENSE:
    case DEFT_IMAGE_HISTORY:
        return 1;
    case DEFT_IMAGE_GRU:
        return k->gru != NULL;
    case DEFT_IMAGE_LSTM:
        return k->lstm != NULL;
    default:
        return k->pointwise != NULL;
    }
}

const deft_qparts deft_qparts_all = {{deft_run_gru_before_q, deft_run_dense_q, deft_run_gru_q,
                                      deft_run_lstm_q, deft_run_pointwise_q, deft_run_pointwise_q,
                                      deft_run_pointwise_q, deft_run_pointwise_q,
                                      deft_run_pointwise_q, deft_run_history_q},
                                     served,
                                     &deft_qkept_all,
                                     deft_choose_q};
