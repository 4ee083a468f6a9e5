/* status.c - texts of deft_status. Part of the freestanding runtime. */
#include "deft/status.h"

const char *deft_status_str(deft_status s)
{
    switch (s) {
    case DEFT_OK:
        return "ok";
    case DEFT_E_ARG:
        return "wrong use";
    case DEFT_E_FORMAT:
        return "not a file of this kind, or damaged";
    case DEFT_E_VERSION:
        return "a newer version than this one knows";
    case DEFT_E_SPACE:
        return "not enough memory";
    case DEFT_E_RANGE:
        return "a number is not finite or out of range";
    case DEFT_E_IO:
        return "input or output failed";
    case DEFT_E_UNSUPPORTED:
        return "not supported";
    case DEFT_E_LAYOUT:
        return "a weight layout this runtime does not serve";
    case DEFT_E_MISMATCH:
        return "does not match";
    case DEFT_E_CANCELLED:
        return "cancelled";
    }
    return "unknown status";
}
