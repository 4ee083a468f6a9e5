/* number.h - number formats by number. The numbers are those of the image format. */
#ifndef DEFT_NUMBER_H
#define DEFT_NUMBER_H

typedef enum deft_number {
    DEFT_NUM_NONE = 0,
    DEFT_NUM_F32,
    DEFT_NUM_U8,  // activations
    DEFT_NUM_S16, // activations, weights
    DEFT_NUM_S8,  // weights
    DEFT_NUM_S4,  // weights in [-8, 7], two a byte
} deft_number;

#endif
