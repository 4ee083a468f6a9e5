/* peer.h - what the peers of `deft bench --peers` share: programs that run a chain of layers with
 * another library. Arguments: "dense:IN:OUT:relu|tanh|none", "gru:IN:H", in order; weights are
 * constants of this file's making, batch 1, one thread. A layer's input is the output of the one
 * before and, where it wants more, constants.
 * Once ready a peer prints a line of its name and version. Then each line with a number N on its
 * standard input makes it run N steps and print their nanoseconds, until the input ends. */
#ifndef DEFT_PEER_H
#define DEFT_PEER_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PEER_LAYERS = 64 };

typedef struct peer_layer {
    int recurrent; // GRU
    int n_in, n_out;
    int activation; // 'r', 't', 'n'
} peer_layer;

static inline int peer_parse(int argc, char **argv, peer_layer *layer)
{
    int n = 0;
    for (int k = 1; k < argc && n < PEER_LAYERS; k++, n++) {
        peer_layer *const l = &layer[n];
        char name[8] = "", act[8] = "none";
        if (sscanf(argv[k], "%7[a-z]:%d:%d:%7[a-z]", name, &l->n_in, &l->n_out, act) < 3) exit(2);
        l->recurrent = strcmp(name, "gru") == 0;
        l->activation = act[0];
    }
    if (n == 0) exit(2);
    return n;
}

static inline float *peer_floats(size_t n)
{
    float *const p = (float *)aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
    if (!p) exit(3);
    for (size_t i = 0; i < n; i++)
        p[i] = 0.05f * (float)((int)(i * 2654435761u >> 8 & 255) - 128) / 128;
    return p;
}

/* W x to the gates: h' from gates of x and of h, [3][n] each, as PyTorch computes it. */
static inline void peer_gru(const float *x, const float *u, float *h, int n)
{
    for (int i = 0; i < n; i++) {
        const float r = 1 / (1 + expf(-(x[i] + u[i]))), z = 1 / (1 + expf(-(x[n + i] + u[n + i])));
        const float c = tanhf(x[2 * n + i] + r * u[2 * n + i]);
        h[i] = c + z * (h[i] - c);
    }
}

static inline void peer_loop(const char *name, void (*step)(void *user), void *user)
{
    char line[64];
    for (int i = 0; i < 1000; i++) step(user);
    printf("%s\n", name);
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        const long n = strtol(line, NULL, 10);
        struct timespec a, b;
        for (int i = 0; i < 2; i++) step(user); // the others have filled the caches
        (void)clock_gettime(CLOCK_MONOTONIC, &a);
        for (long i = 0; i < n; i++) step(user);
        (void)clock_gettime(CLOCK_MONOTONIC, &b);
        printf("%.0f\n", 1e9 * (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec));
        (void)fflush(stdout);
    }
}

#endif
