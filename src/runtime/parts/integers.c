/* integers.c - a runtime that executes integer policies alone; linked in the place of defaults.c it
 * leaves out everything else. Part of the freestanding runtime. */
#include "runtime/step_q.h"

const deft_runtime deft_runtime_parts = {
    &deft_kernels_int, NULL, &deft_engine_q, NULL, &deft_image_q, &deft_qparts_all};
