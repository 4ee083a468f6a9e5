/* contract.h - a contract of one's own: what a file says of a policy's observations and actions,
 * whatever the file's format, and how it is put on a policy. docs/contract.md is the reference of
 * Deft's own format, JSON. */
#ifndef DEFT_CONTRACT_H
#define DEFT_CONTRACT_H

#include "deft/base.h"
#include "deft/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The last `length` frames of something, as the policy's inputs hold them. */
typedef struct deft_contract_history {
    int32_t length;    // 1: the present frame alone
    bool newest_first; // else oldest first
    bool by_frame;     // frames of several terms one after the other: consecutive terms of equal
                       // histories belong together; else all frames of a term, then the next term
    bool fill_first;   // after a reset the first frame fills it, else zeros
} deft_contract_history;

/* Some of the policy's inputs, one after the other. All arrays may be NULL (defaults in brackets).
 */
typedef struct deft_contract_term {
    int32_t size;              // elements of one frame
    bool previous;             // the previous action, as `feedback` says, else observations
    const char **name, **unit; // [size]; of observations
    float *offset, *scale;     // x = (v - offset) * scale [0, 1]; scale is not 0
    float *lo, *hi;            // then clipped to [lo, hi] [-inf, inf]
    float *least, *most;       // what v can be, as far as known [-inf, inf]; of observations
    deft_contract_history history;
} deft_contract_term;

/* What the policy takes for its previous action. */
typedef enum deft_feedback {
    DEFT_FEEDBACK_NONE = 0,
    DEFT_FEEDBACK_RAW,      // what the policy gave, before clip, scale, offset and limits
    DEFT_FEEDBACK_CLIPPED,  // the same, but within clip and limits
    DEFT_FEEDBACK_APPLIED,  // the action itself, in its unit
    DEFT_FEEDBACK_BUILT_IN, // the policy feeds it to itself already
} deft_feedback;

/* What to do with offsets, scales and clips that the policy has already. */
typedef enum deft_own_scaling {
    DEFT_OWN_SCALING_UNSAID = 0, // of observations: keep
    DEFT_OWN_SCALING_KEEP,       // the contract's come before its own, for actions after
    DEFT_OWN_SCALING_REPLACE,    // the contract's are all there are
} deft_own_scaling;

typedef struct deft_contract_file {
    const char *where; // the file's name, escaped, for messages
    const char *name;  // of the contract, not empty
    double period_s;   // 0: not said
    deft_own_scaling own_scaling;
    int32_t n_term; // at least 1
    deft_contract_term *term;
    /* Actions: clip(y, clip_lo, clip_hi) * scale + offset, then clipped to [lo, hi]. */
    int32_t n_act; // 0: not said
    const char **act_name, **act_unit;
    float *act_clip_lo, *act_clip_hi;
    float *act_scale, *act_offset; // scale is not 0
    float *act_lo, *act_hi;
    deft_feedback feedback;
    int32_t n_note; // a key comes once
    const deft_meta *note;
} deft_contract_file;

/* Puts f on m: names, units, scales, clips and limits; terms with a history become HISTORY layers,
 * the previous action DEFT_SRC_PREV. DEFT_E_MISMATCH where f does not fit m, DEFT_E_UNSUPPORTED
 * where a policy cannot do what f says, DEFT_E_ARG where f says too little; the text names the
 * place in f. After an error m is of no use. */
deft_status deft_model_apply_contract(deft_model *m, const deft_contract_file *f, deft_error *err);

/* A file of any format that holds a contract, by its content; today Deft's own, JSON. path is for
 * messages. What *out refers to lives in a. DEFT_E_FORMAT names the place and what was expected. */
deft_status deft_contract_read(deft_bytes text, const char *path, deft_arena *a,
                               deft_contract_file *out, deft_error *err);

/* Deft's own format with what is known of m filled in, and null, which deft_contract_read refuses,
 * for what is not. Where nothing is unknown, putting it on m changes nothing. Lives in a; NULL: no
 * memory. */
char *deft_contract_template(const deft_model *m, deft_arena *a);

#ifdef __cplusplus
}
#endif

#endif
