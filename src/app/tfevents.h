/* tfevents.h - private: scalars as TensorBoard reads them, events.out.tfevents.* in a folder.
 *
 * A file is records {length u64, masked CRC-32C of it, data, masked CRC-32C of the data}, each an
 * Event of TensorFlow's event.proto; of its messages three are needed, so they are encoded by hand.
 * Every session writes a file of its own. It begins with SessionLog.START, upon which TensorBoard
 * forgets what earlier files hold of that step and later ones. */
#ifndef DEFT_APP_TFEVENTS_H
#define DEFT_APP_TFEVENTS_H

#include "deft/base.h"

typedef struct tfevents tfevents;
typedef struct tfevents_scalar {
    const char *tag;
    double value; // written where finite, as float
} tfevents_scalar;

/* A file whose name sorts behind those in the folder. What earlier ones hold of steps from `from`
 * on is superseded. DEFT_E_IO, DEFT_E_SPACE. */
deft_status tfevents_open(const char *dir, int64_t from, tfevents **out, deft_error *err);
/* An event for each scalar, handed to the system before this returns. */
deft_status tfevents_write(tfevents *t, int64_t step, const tfevents_scalar *s, int n,
                           deft_error *err);
deft_status tfevents_close(tfevents *t, deft_error *err); // NULL is fine

#endif
