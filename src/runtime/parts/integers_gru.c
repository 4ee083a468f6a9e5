/* integers_gru.c - a runtime for policies of dense and GRU layers with int8 weights in rows; linked
 * in the place of defaults.c it leaves out everything else: other kinds of layers, a GRU that
 * resets before the product, outputs that stay, several discrete actions. Part of the freestanding
 * runtime. */
#include "runtime/step_q.h"

static const deft_kernels_q kernels_q = {
    {{{deft_dense_s8_u8_ref, deft_dense_s8_s16_ref}, {NULL, NULL}, {NULL, NULL}},
     {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}}},
    deft_gru_q_ref,
    NULL,
    NULL,
    NULL,
};
static const deft_kernels kernels = {"int8 dense and GRU", NULL, &kernels_q};

static const deft_image_parts_q images = {
    {[DEFT_IMAGE_DENSE] = &deft_image_dense_q, [DEFT_IMAGE_GRU] = &deft_image_gru_q},
    {[DEFT_LAYOUT_ROWS] = 1 << DEFT_NUM_S8},
    deft_matrix_weight_s8,
    NULL,
};
static deft_status one_choice(deft_image *im, uint32_t at, uint32_t length)
{
    (void)im;
    (void)at;
    (void)length;
    return DEFT_E_UNSUPPORTED;
}

static const deft_image_family family = {deft_image_check_q, deft_image_segment_q,
                                         deft_image_whole_q, &images, one_choice};

static int served(const deft_kernels_q *k, uint8_t kind)
{
    return kind == DEFT_IMAGE_DENSE || k->gru;
}

static const deft_qparts parts = {
    {[DEFT_IMAGE_DENSE] = deft_run_dense_q, [DEFT_IMAGE_GRU] = deft_run_gru_q}, served, NULL, NULL};

const deft_runtime deft_runtime_parts = {&kernels, NULL, &deft_engine_q, NULL, &family, &parts};
