/* train_setup.c - the configuration of a run as JSON, by one table of its fields. */
#include "deft/train_run.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum field_kind {
    TEXT,
    TEXT_OR_NULL,
    BOOLEAN,
    INT32,
    INT64,
    REAL,
    WIDTHS,
    MODE,
    SEED
} field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t at;
} field;

#define TRAIN(name, kind)                                                                          \
    {                                                                                              \
#name, kind, offsetof(deft_train_setup, train.name)                                        \
    }
#define OWN(name, kind)                                                                            \
    {                                                                                              \
#name, kind, offsetof(deft_train_setup, name)                                              \
    }

static const field fields[] = {
    OWN(env, TEXT),
    OWN(scene, TEXT_OR_NULL),
    OWN(reward, TEXT_OR_NULL),
    OWN(vary, TEXT_OR_NULL),
    OWN(max_steps, INT32),
    OWN(heading, REAL),
    OWN(wire_reward, BOOLEAN),
    OWN(target_speed, REAL),
    OWN(load, TEXT_OR_NULL),
    TRAIN(eval_reward, TEXT_OR_NULL),
    TRAIN(best_distance, REAL),
    TRAIN(algo, TEXT),
    TRAIN(encoder, TEXT),
    TRAIN(encoder_mode, MODE),
    TRAIN(previous_action, BOOLEAN),
    TRAIN(encoder_layers, INT32),
    TRAIN(encoder_hidden, INT32),
    TRAIN(stack_depth, INT32),
    TRAIN(pretrain_steps, INT32),
    TRAIN(sequence, INT32),
    TRAIN(burn_in, INT32),
    TRAIN(hidden, WIDTHS),
    TRAIN(critic_hidden, WIDTHS),
    TRAIN(activation, TEXT),
    TRAIN(critic_norm, BOOLEAN),
    TRAIN(critic_dropout, REAL),
    TRAIN(steps, INT64),
    TRAIN(warmup, INT64),
    TRAIN(envs, INT32),
    TRAIN(round, INT32),
    TRAIN(updates, REAL),
    TRAIN(batch, INT32),
    TRAIN(replay, INT64),
    TRAIN(gamma, REAL),
    TRAIN(tau, REAL),
    TRAIN(actor_rate, REAL),
    TRAIN(critic_rate, REAL),
    TRAIN(alpha_rate, REAL),
    TRAIN(n_step, INT32),
    TRAIN(policy_delay, INT32),
    TRAIN(exploration_noise, REAL),
    TRAIN(target_noise, REAL),
    TRAIN(noise_clip, REAL),
    TRAIN(target_entropy, REAL),
    TRAIN(alpha, REAL),
    TRAIN(fixed_alpha, BOOLEAN),
    TRAIN(normalize, BOOLEAN),
    TRAIN(eval_every, INT64),
    TRAIN(eval_episodes, INT32),
    TRAIN(threads, INT32),
    TRAIN(seed, SEED),
};
enum { N_FIELD = sizeof fields / sizeof fields[0] };

static const char *const modes[] = {"frozen", "pretrained", "trained"}; // deft_encoder_mode

bool deft_encoder_mode_parse(const char *text, deft_encoder_mode *out)
{
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, modes[i]) != 0) continue;
        *out = (deft_encoder_mode)i;
        return true;
    }
    return false;
}

/* hidden and critic_hidden, each behind its count. */
static int32_t *count_of(deft_train_setup *s, const field *f)
{
    return f->at == offsetof(deft_train_setup, train.hidden) ? &s->train.n_hidden
                                                             : &s->train.n_critic_hidden;
}

static json_t *widths_to_json(const int32_t *width, int32_t n)
{
    json_t *const all = json_array();
    for (int32_t i = 0; i < n; i++) (void)json_array_append_new(all, json_integer(width[i]));
    return all;
}

static json_t *field_to_json(deft_train_setup *s, const field *f)
{
    const void *const p = (const char *)s + f->at;
    switch (f->kind) {
    case TEXT:
    case TEXT_OR_NULL: {
        const char *text;
        memcpy(&text, p, sizeof text);
        return text ? json_string(text) : json_null();
    }
    case BOOLEAN:
        return json_boolean(*(const bool *)p);
    case INT32:
        return json_integer(*(const int32_t *)p);
    case INT64:
        return json_integer(*(const int64_t *)p);
    case SEED:
        return json_integer((json_int_t) * (const uint64_t *)p);
    case REAL:
        return json_real(*(const double *)p);
    case WIDTHS:
        return widths_to_json(p, *count_of(s, f));
    case MODE:
        return json_string(modes[s->train.encoder_mode]);
    }
    return NULL;
}

/* Only where it says something, so that other runs need not have it. */
static bool optional(const field *f)
{
    static const size_t at[] = {offsetof(deft_train_setup, load),
                                offsetof(deft_train_setup, target_speed),
                                offsetof(deft_train_setup, train.eval_reward),
                                offsetof(deft_train_setup, train.best_distance)};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        if (f->at == at[i]) return true;
    }
    return false;
}

static bool says_something(const json_t *v)
{
    return !json_is_null(v) && !(json_is_real(v) && json_real_value(v) == 0);
}

deft_status deft_train_setup_write(const deft_train_setup *s, deft_arena *a, deft_bytes *out,
                                   deft_error *err)
{
    deft_train_setup copy = *s;
    json_t *const j = json_object();
    for (int i = 0; i < N_FIELD; i++) {
        json_t *const v = field_to_json(&copy, &fields[i]);
        if (!optional(&fields[i]) || says_something(v)) {
            (void)json_object_set(j, fields[i].name, v);
        }
        json_decref(v);
    }
    char *const text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(j);
    char *const kept = text ? deft_arena_printf(a, "%s\n", text) : NULL;
    free(text);
    if (!kept) return deft_fail(err, DEFT_E_SPACE, "no memory for the configuration");
    *out = (deft_bytes){(const uint8_t *)kept, strlen(kept)};
    return DEFT_OK;
}

/* 1e6 is one, too; what is none gives 0. */
static bool whole_number(const json_t *v, json_int_t *out)
{
    static const double exact = 9007199254740992; // 2^53
    const double x = json_number_value(v);
    *out = json_integer_value(v);
    if (!json_is_real(v)) return json_is_integer(v);
    const bool whole = x == floor(x) && fabs(x) <= exact;
    if (whole) *out = (json_int_t)x;
    return whole;
}

static bool widths_from_json(const json_t *v, int32_t *width, int32_t *n)
{
    if (!json_is_array(v) || json_array_size(v) > DEFT_TRAIN_HIDDEN) return false;
    *n = (int32_t)json_array_size(v);
    for (int32_t i = 0; i < *n; i++) {
        const json_t *const x = json_array_get(v, (size_t)i);
        json_int_t k = 0;
        if (!whole_number(x, &k) || k < 1 || k > 4096) return false;
        width[i] = (int32_t)k;
    }
    return true;
}

static bool field_from_json(deft_train_setup *s, const field *f, const json_t *v, deft_arena *a)
{
    void *const p = (char *)s + f->at;
    json_int_t i = 0;
    const bool whole = whole_number(v, &i);
    switch (f->kind) {
    case TEXT:
    case TEXT_OR_NULL: {
        const char *const text =
            json_is_string(v) ? deft_arena_printf(a, "%s", json_string_value(v)) : NULL;
        memcpy(p, &text, sizeof text);
        return text || (f->kind == TEXT_OR_NULL && json_is_null(v));
    }
    case BOOLEAN:
        *(bool *)p = json_is_true(v);
        return json_is_boolean(v);
    case INT32:
        *(int32_t *)p = (int32_t)i;
        return whole && i == (int32_t)i;
    case INT64:
        *(int64_t *)p = i;
        return whole;
    case SEED:
        *(uint64_t *)p = (uint64_t)i;
        return whole && i >= 0;
    case REAL:
        *(double *)p = json_number_value(v);
        return json_is_number(v);
    case WIDTHS:
        return widths_from_json(v, p, count_of(s, f));
    case MODE:
        return json_is_string(v) &&
               deft_encoder_mode_parse(json_string_value(v), &s->train.encoder_mode);
    }
    return false;
}

static const char *what_of(field_kind k)
{
    switch (k) {
    case TEXT:
        return "a text";
    case TEXT_OR_NULL:
        return "a text or null";
    case BOOLEAN:
        return "true or false";
    case INT32:
    case INT64:
        return "a whole number within range";
    case SEED:
        return "a whole number from 0 to 2^63 - 1";
    case REAL:
        return "a number";
    case WIDTHS:
        return "a list of up to 7 widths from 1 to 4096";
    case MODE:
        return "frozen, pretrained or trained";
    }
    return "right";
}

static const field *find_field(const char *name)
{
    for (int i = 0; i < N_FIELD; i++) {
        if (strcmp(fields[i].name, name) == 0) return &fields[i];
    }
    return NULL;
}

/* A field that is not known, with those that are. */
static deft_status unknown_field(const char *key, const char *name, deft_error *err)
{
    char shown[64], hint[DEFT_HINT], all[800] = "";
    deft_nearest near;
    deft_nearest_begin(&near, key);
    for (int i = 0; i < N_FIELD; i++) {
        const size_t used = strlen(all);
        (void)snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", fields[i].name);
        deft_nearest_offer(&near, fields[i].name);
    }
    return deft_fail(err, DEFT_E_FORMAT, "%s: field '%s' is not known%s (there are %s)", name,
                     deft_escape(shown, sizeof shown, key, 64), deft_nearest_hint(&near, hint),
                     all);
}

/* The fields of j that are known, to *s; all the others are errors. */
static deft_status take_fields(const json_t *j, const char *name, deft_arena *a,
                               deft_train_setup *s, deft_error *err)
{
    const char *key;
    json_t *value;
    union { // jansson iterates without const
        const json_t *in;
        json_t *out;
    } u = {j};
    json_object_foreach(u.out, key, value)
    {
        const field *const f = find_field(key);
        if (!f) return unknown_field(key, name, err);
        if (!field_from_json(s, f, value, a)) {
            return deft_fail(err, DEFT_E_FORMAT, "%s: field '%s' is not %s", name, key,
                             what_of(f->kind));
        }
    }
    return DEFT_OK;
}

static json_t *parse(deft_bytes json, const char *name, deft_error *err)
{
    char why[200];
    json_error_t e;
    json_t *const j = json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, &e);
    if (json_is_object(j)) return j;
    (void)deft_fail(err, DEFT_E_FORMAT, "%s:%d: %s", name, j ? 1 : e.line,
                    j ? "not an object" : deft_escape(why, sizeof why, e.text, sizeof e.text));
    json_decref(j);
    return NULL;
}

deft_status deft_train_setup_read(deft_bytes json, const char *source, deft_arena *a,
                                  deft_train_setup *out, deft_error *err)
{
    char name[128];
    json_t *const j = parse(json, deft_escape(name, sizeof name, source, 4096), err);
    if (!j) return DEFT_E_FORMAT;
    *out = (deft_train_setup){.max_steps = 0};
    deft_status s = take_fields(j, name, a, out, err);
    for (int i = 0; s == DEFT_OK && i < N_FIELD; i++) {
        if (json_object_get(j, fields[i].name) || optional(&fields[i])) continue;
        s = deft_fail(err, DEFT_E_FORMAT, "%s: field '%s' is missing", name, fields[i].name);
    }
    json_decref(j);
    return s;
}

deft_status deft_train_setup_algo(deft_train_setup *s, const char *algo, deft_error *err)
{
    deft_train_config c;
    const deft_status status = deft_train_defaults(algo, &c, err);
    if (status != DEFT_OK) return status;
    s->train.algo = c.algo;
    s->train.encoder = c.encoder;
    s->train.previous_action = c.previous_action;
    s->train.policy_delay = c.policy_delay;
    return DEFT_OK;
}

deft_status deft_train_setup_merge(deft_bytes json, const char *source, deft_arena *a,
                                   deft_train_setup *into, deft_error *err)
{
    char name[128];
    json_t *const j = parse(json, deft_escape(name, sizeof name, source, 4096), err);
    if (!j) return DEFT_E_FORMAT;
    json_t *const algo = json_object_get(j, "algo");
    deft_status s = DEFT_OK;
    if (algo) {
        s = json_is_string(algo) ? deft_train_setup_algo(into, json_string_value(algo), err)
                                 : deft_fail(err, DEFT_E_FORMAT, "not a text");
        if (s != DEFT_OK) (void)deft_error_prefix(err, "%s: field 'algo'", name);
        (void)json_object_del(j, "algo");
    }
    if (s == DEFT_OK) s = take_fields(j, name, a, into, err);
    json_decref(j);
    return s;
}

const char *deft_train_setup_difference(const deft_train_setup *a, const deft_train_setup *b)
{
    deft_train_setup x = *a, y = *b;
    for (int i = 0; i < N_FIELD; i++) {
        if (fields[i].at == offsetof(deft_train_setup, train.threads)) continue;
        json_t *const p = field_to_json(&x, &fields[i]), *const q = field_to_json(&y, &fields[i]);
        const bool same = json_equal(p, q) == 1;
        json_decref(p);
        json_decref(q);
        if (!same) return fields[i].name;
    }
    return NULL;
}
