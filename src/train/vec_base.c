/* vec_base.c - the elementwise operations for any CPU. */
#define VEC_NAME  "base"
#define VEC_TABLE deft_vec_base
#include "train/vec_body.h"
