/* kernels.h - choose the arithmetic kernels of a host. The freestanding runtime needs none of
 * this: it was built with its own. */
#ifndef DEFT_KERNELS_H
#define DEFT_KERNELS_H

#include "deft/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The fastest set this CPU executes (looked up at each call; keep the pointer). */
const deft_kernels *deft_kernels_best(void);
/* NULL-terminated, the reference first, all of them executable on this CPU. */
const deft_kernels *const *deft_kernels_all(void);
const deft_kernels *deft_kernels_find(const char *name); // NULL if absent or not executable
const char *deft_kernels_name(const deft_kernels *k);    // "ref", "avx2", "avx512vnni", ...

#ifdef __cplusplus
}
#endif

#endif
