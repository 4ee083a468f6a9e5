/* defaults.c - a runtime that executes everything. Part of the freestanding runtime. */
#include "runtime/step_q.h"

const deft_runtime deft_runtime_parts = {&deft_kernels_ref, &deft_engine_f32, &deft_engine_q,
                                         &deft_image_f32,   &deft_image_q,    &deft_qparts_all};
