/* difference.h - private: layers of a float policy beside those of an integer one. */
#ifndef DEFT_APP_DIFFERENCE_H
#define DEFT_APP_DIFFERENCE_H

#include "deft/app.h"

/* As deft_compare_layers, b an integer image. What a step of an integer stands for is not in the
 * image but where it is fixed (states of GRU and LSTM, 2^-15): it is fitted, one factor for each
 * output. */
deft_status compare_integer_layers(const deft_loaded *a, const deft_loaded *b,
                                   const deft_recording *r, bool feed_recorded,
                                   deft_difference *out, deft_error *err);

#endif
