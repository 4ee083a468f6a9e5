/* image_shape.c - shapes of layers. Part of the freestanding runtime. */
#include "image/image.h"

int deft_image_shape_ok(uint8_t kind, uint32_t n_in, uint32_t n_out, uint32_t depth)
{
    if (n_in == 0 || n_out == 0) return 0;
    switch (kind) {
    case DEFT_IMAGE_DENSE:
    case DEFT_IMAGE_GRU:
    case DEFT_IMAGE_LSTM:
        return 1;
    case DEFT_IMAGE_ADD:
    case DEFT_IMAGE_MUL:
        return n_in == 2 * n_out;
    case DEFT_IMAGE_HISTORY:
        return depth > 0 && depth * n_in == n_out;
    default:
        return n_in == n_out;
    }
}
