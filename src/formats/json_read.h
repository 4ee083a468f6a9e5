/* json_read.h - private: values of a JSON text, checked, with messages that say where. */
#ifndef DEFT_FORMATS_JSON_READ_H
#define DEFT_FORMATS_JSON_READ_H

#include "deft/base.h"

#include <jansson.h>

typedef struct json_source {
    const char *where; // what messages begin with: a file's name, escaped
    deft_arena *a;     // of what is read
    deft_error *err;
} json_source;

/* A value and how one gets to it: observations[3].scale. */
typedef struct json_place {
    const struct json_place *in; // NULL: the whole text
    const char *key;             // NULL: element `index` of a list
    size_t index;
    json_t *value; // NULL: absent
} json_place;
json_place json_member(const json_place *of, const char *key);
json_place json_element(const json_place *of, size_t index);

/* The text's root, to be given back by json_decref. Duplicate keys are refused, and all but an
 * object; syntax errors say line and column. */
deft_status json_read(const json_source *s, deft_bytes text, json_t **out);

/* "FILE: PLACE ..." */
deft_status json_wrong(const json_source *s, const json_place *at, deft_status status,
                       const char *fmt, ...) DEFT_PRINTF(4, 5);
/* An object with none but these keys, NULL ends them. */
deft_status json_only(const json_source *s, const json_place *at, const char *const *known);

/* Null among what is read is an error of its own: a placeholder. */
deft_status json_get_text(const json_source *s, const json_place *at, size_t max_length,
                          const char **out);
deft_status json_get_number(const json_source *s, const json_place *at, float *out);
/* A whole number from lo to hi. */
deft_status json_get_count(const json_source *s, const json_place *at, int32_t lo, int32_t hi,
                           int32_t *out);
/* Index of the text in choices (NULL ends them). */
deft_status json_get_choice(const json_source *s, const json_place *at, const char *const *choices,
                            int32_t *out);
/* Is it a list of n, or, unless exact, one for all? */
deft_status json_check_list(const json_source *s, const json_place *at, int32_t n, bool exact);
/* The same, read; *out stays where the place is absent. */
deft_status json_get_numbers(const json_source *s, const json_place *at, int32_t n, bool exact,
                             float **out);
deft_status json_get_texts(const json_source *s, const json_place *at, int32_t n, bool exact,
                           size_t max_length, const char ***out);
/* [lo, hi], or a list of n of them; either may be "none". */
deft_status json_get_ranges(const json_source *s, const json_place *at, int32_t n, float **lo,
                            float **hi);

#endif
