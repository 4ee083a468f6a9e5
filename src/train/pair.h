/* pair.h - two calls side by side: the second of a pair of equal tasks on a thread of its own. */
#ifndef DEFT_TRAIN_PAIR_H
#define DEFT_TRAIN_PAIR_H

#include "deft/base.h"

typedef struct deft_pair deft_pair;

deft_status deft_pair_create(deft_pair **out, deft_error *err);
void deft_pair_destroy(deft_pair *p); // NULL is fine
/* f(user, 0) here and f(user, 1) on the other thread; returns when both are done. */
void deft_pair_run(deft_pair *p, void (*f)(void *user, int k), void *user);

#endif
