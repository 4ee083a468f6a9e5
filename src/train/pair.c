/* pair.c - one helper thread. Who waits looks again for a few microseconds, in which the other of
 * two equal tasks may end, and then sleeps: the core is free for other threads meanwhile. */
#include "train/pair.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SPINS = 50 }; // pauses of 15 to 50 nanoseconds

struct deft_pair {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    atomic_uint posted, done; // numbers of tasks
    bool stop;
    void (*f)(void *, int);
    void *user;
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void wait_past(deft_pair *p, atomic_uint *counter, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(counter, memory_order_acquire) != seen) return;
        relax();
    }
    (void)pthread_mutex_lock(&p->lock);
    while (atomic_load_explicit(counter, memory_order_acquire) == seen) {
        (void)pthread_cond_wait(&p->changed, &p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

static void advance(deft_pair *p, atomic_uint *counter)
{
    (void)pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(counter, 1, memory_order_release);
    (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->lock);
}

static void *helper(void *arg)
{
    deft_pair *p = arg;
    for (unsigned seen = 0;; seen++) {
        wait_past(p, &p->posted, seen);
        if (p->stop) return NULL;
        p->f(p->user, 1);
        advance(p, &p->done);
    }
}

deft_status deft_pair_create(deft_pair **out, deft_error *err)
{
    *out = NULL;
    deft_pair *p = calloc(1, sizeof *p);
    if (!p) return deft_fail(err, DEFT_E_SPACE, "no memory for a thread");
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->changed, NULL);
    if (pthread_create(&p->thread, NULL, helper, p) != 0) {
        (void)pthread_cond_destroy(&p->changed);
        (void)pthread_mutex_destroy(&p->lock);
        free(p);
        return deft_fail(
            err, DEFT_E_SPACE,
            "no memory for a thread (ulimit -v), or no more of them allowed (ulimit -u)");
    }
    *out = p;
    return DEFT_OK;
}

void deft_pair_destroy(deft_pair *p)
{
    if (!p) return;
    p->stop = true;
    advance(p, &p->posted);
    (void)pthread_join(p->thread, NULL);
    (void)pthread_cond_destroy(&p->changed);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

void deft_pair_run(deft_pair *p, void (*f)(void *user, int k), void *user)
{
    const unsigned seen = atomic_load_explicit(&p->done, memory_order_relaxed);
    p->f = f;
    p->user = user;
    advance(p, &p->posted);
    f(user, 0);
    wait_past(p, &p->done, seen);
}
