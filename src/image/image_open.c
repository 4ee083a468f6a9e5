/* image_open.c - the reader of images of every family. Part of the freestanding runtime. */
#include "image/image.h"

deft_status deft_image_open(deft_image *im, const void *data, size_t size)
{
    return deft_image_open_as(im, data, size, &deft_image_f32, &deft_image_q);
}
