/* vec_avx512.c - compiled with its own options (src/CMakeLists.txt). */
#if defined(__x86_64__)
#define VEC_NAME  "avx512"
#define VEC_TABLE deft_vec_avx512
#include "train/vec_body.h"
#else
typedef int deft_vec_;
#endif
