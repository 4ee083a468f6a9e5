/* train_setup.c - the configuration of a run as JSON, by one table of its fields. */
#include "deft/train_run.h"

#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum field_kind { TEXT, BOOLEAN, INT32, INT64, REAL, WIDTHS, MODE, SEED } field_kind;

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
    OWN(scene, TEXT),
    OWN(reward, TEXT),
    OWN(vary, TEXT),
    OWN(max_steps, INT32),
    OWN(heading, REAL),
    OWN(wire_reward, BOOLEAN),
    TRAIN(algo, TEXT),
    TRAIN(encoder, TEXT),
    TRAIN(encoder_mode, MODE),
    TRAIN(previous_action, BOOLEAN),
    TRAIN(encoder_layers, INT32),
    TRAIN(encoder_hidden, INT32),
    TRAIN(stack_depth, INT32),
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
    case TEXT: {
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
        return json_string("frozen");
    }
    return NULL;
}

deft_status deft_train_setup_write(const deft_train_setup *s, deft_arena *a, deft_bytes *out,
                                   deft_error *err)
{
    deft_train_setup copy = *s;
    json_t *const j = json_object();
    for (int i = 0; i < N_FIELD; i++) {
        (void)json_object_set_new(j, fields[i].name, field_to_json(&copy, &fields[i]));
    }
    char *const text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(j);
    char *const kept = text ? deft_arena_printf(a, "%s\n", text) : NULL;
    free(text);
    if (!kept) return deft_fail(err, DEFT_E_SPACE, "no memory for the configuration");
    *out = (deft_bytes){(const uint8_t *)kept, strlen(kept)};
    return DEFT_OK;
}

static bool widths_from_json(const json_t *v, int32_t *width, int32_t *n)
{
    if (!json_is_array(v) || json_array_size(v) > DEFT_TRAIN_HIDDEN) return false;
    *n = (int32_t)json_array_size(v);
    for (int32_t i = 0; i < *n; i++) {
        const json_t *const x = json_array_get(v, (size_t)i);
        const json_int_t k = json_integer_value(x);
        if (!json_is_integer(x) || k < 1 || k > 65535) return false;
        width[i] = (int32_t)k;
    }
    return true;
}

static bool field_from_json(deft_train_setup *s, const field *f, const json_t *v, deft_arena *a)
{
    void *const p = (char *)s + f->at;
    const json_int_t i = json_integer_value(v);
    switch (f->kind) {
    case TEXT: {
        const char *const text =
            json_is_string(v) ? deft_arena_printf(a, "%s", json_string_value(v)) : NULL;
        memcpy(p, &text, sizeof text);
        return text || json_is_null(v);
    }
    case BOOLEAN:
        *(bool *)p = json_is_true(v);
        return json_is_boolean(v);
    case INT32:
        *(int32_t *)p = (int32_t)i;
        return json_is_integer(v) && i == (int32_t)i;
    case INT64:
        *(int64_t *)p = i;
        return json_is_integer(v);
    case SEED:
        *(uint64_t *)p = (uint64_t)i;
        return json_is_integer(v);
    case REAL:
        *(double *)p = json_number_value(v);
        return json_is_number(v);
    case WIDTHS:
        return widths_from_json(v, p, count_of(s, f));
    case MODE:
        return json_is_string(v) && strcmp(json_string_value(v), "frozen") == 0;
    }
    return false;
}

deft_status deft_train_setup_read(deft_bytes json, const char *source, deft_arena *a,
                                  deft_train_setup *out, deft_error *err)
{
    char name[128], why[200];
    json_error_t e;
    (void)deft_escape(name, sizeof name, source, 4096);
    json_t *const j = json_loadb((const char *)json.data, json.size, 0, &e);
    if (!j || !json_is_object(j)) {
        json_decref(j);
        return deft_fail(err, DEFT_E_FORMAT, "%s:%d: %s", name, j ? 1 : e.line,
                         j ? "not an object" : deft_escape(why, sizeof why, e.text, sizeof e.text));
    }
    *out = (deft_train_setup){.max_steps = 0};
    deft_status s = DEFT_OK;
    for (int i = 0; s == DEFT_OK && i < N_FIELD; i++) {
        const json_t *const v = json_object_get(j, fields[i].name);
        if (!v || !field_from_json(out, &fields[i], v, a)) {
            s = deft_fail(err, DEFT_E_FORMAT, "%s: field '%s' is %s", name, fields[i].name,
                          v ? "not of its type" : "missing");
        }
    }
    if (s == DEFT_OK && json_object_size(j) != N_FIELD) {
        s = deft_fail(err, DEFT_E_FORMAT, "%s: a field that is not known", name);
    }
    json_decref(j);
    return s;
}
