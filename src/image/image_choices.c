/* image_choices.c - the record of several discrete actions. Part of the freestanding runtime. */
#include "image/image.h"

/* Each of two actions or more chooses from one output or more, and together from all. */
deft_status deft_image_choices(deft_image *im, uint32_t at, uint32_t length)
{
    uint32_t sum = 0;
    if (!(im->flags & DEFT_IMAGE_DISCRETE) || im->n_act < 2 || length != 2u * im->n_act) {
        return DEFT_E_FORMAT;
    }
    for (uint32_t k = 0; k < im->n_act; k++) {
        const uint32_t n = deft_image_u16(im->data + at + (size_t)2 * k);
        if (n == 0) return DEFT_E_FORMAT;
        sum += n;
    }
    im->choices = at;
    return sum == im->n_output ? DEFT_OK : DEFT_E_FORMAT;
}
