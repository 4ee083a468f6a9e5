/* bench_peers.h - other libraries on the same policy: programs that run one chain of layers and are
 * asked for times (bench/peers/peer.h). */
#ifndef DEFT_APP_BENCH_PEERS_H
#define DEFT_APP_BENCH_PEERS_H

#include "app/bench_rounds.h"

#include <stdio.h>
#include <sys/types.h>

typedef struct bench_peer {
    pid_t pid; // 0: not running
    FILE *stream;
    const char *name;   // what it calls itself, or what it would be
    const char *reason; // why it does not run, "" if it does
} bench_peer;

/* Starts number `which` of DEFT_BENCH_PEERS for a policy; strings live in the arena. Never fails:
 * what is missing is told in `reason`. */
void bench_peer_start(bench_peer *p, int which, const deft_loaded *l, deft_arena *a);
void bench_peer_stop(bench_peer *p);
double bench_peer_ns(void *user, int32_t times); // for a bench_entry; user: a bench_peer

#endif
