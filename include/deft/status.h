/* status.h - what every function of Deft returns when it can fail. */
#ifndef DEFT_STATUS_H
#define DEFT_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Negative, so that functions returning a size can also return an error. */
typedef enum deft_status {
    DEFT_OK = 0,
    DEFT_E_ARG = -1,         // the caller broke the contract
    DEFT_E_FORMAT = -2,      // not a file of this kind, or damaged
    DEFT_E_VERSION = -3,     // newer than this library
    DEFT_E_SPACE = -4,       // a buffer is too small, or memory ran out
    DEFT_E_RANGE = -5,       // a number is not finite or out of range
    DEFT_E_IO = -6,          // host only: the operating system refused
    DEFT_E_UNSUPPORTED = -7, // well formed, but nothing here can execute it
    DEFT_E_LAYOUT = -8,      // an image whose weight layout this runtime does not serve
    DEFT_E_MISMATCH = -9,    // two things that must agree do not (verification, contract)
    DEFT_E_CANCELLED = -10,  // host only: the caller asked to stop
} deft_status;

/* A short English text, never NULL. */
const char *deft_status_str(deft_status s);

#ifdef __cplusplus
}
#endif

#endif
