/* lease.h - private: which process works on a folder, among processes that share no more than the
 * file system.
 *
 * A lease is a file lease.N in the folder; the highest N counts. It is made whole under another
 * name and linked to its own, which fails where that exists, so one process gets it. Its holder
 * writes a new beat every few seconds. It is dead when its process is gone from the same machine,
 * or when no beat came for `limit` seconds of the reader's own clock (clocks of machines are not
 * compared); then lease.N+1 is for the first who makes it. The old holder sees that it was
 * overtaken before it saves anything. Works on local disks and on NFS; needs hard links. */
#ifndef DEFT_APP_LEASE_H
#define DEFT_APP_LEASE_H

#include "deft/base.h"

typedef struct lease lease;

/* What a process remembers of somebody else's lease. Zero at first; one for each folder. */
typedef struct lease_watch {
    char token[33];
    int64_t beat, generation;
    double since; // when this beat was first seen
} lease_watch;

typedef struct lease_info {
    char host[65]; // name of the machine
    long pid;
    int64_t step, steps; // as its holder told
    double reward;       // likewise, NAN: not yet
} lease_info;

/* DEFT_OK: *out is held; 1: somebody else holds it. limit: seconds, above 0. */
int32_t lease_take(const char *dir, double limit, lease_watch *w, lease **out, deft_error *err);
/* DEFT_E_CANCELLED when it was overtaken. */
deft_status lease_check(const lease *l, deft_error *err);
/* Goes out with the next beat; reward: of the last evaluation, NAN: none. */
void lease_tell(lease *l, int64_t step, int64_t steps, double reward);
void lease_release(lease *l); // NULL is fine
/* Who holds the folder, dead or not; false: nobody. */
bool lease_read(const char *dir, lease_info *out);

#endif
