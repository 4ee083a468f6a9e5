/* vec_avx2.c - compiled with its own options (src/CMakeLists.txt). */
#if defined(__x86_64__)
#define VEC_NAME  "avx2"
#define VEC_TABLE deft_vec_avx2
#include "train/vec_body.h"
#else
typedef int deft_vec_;
#endif
