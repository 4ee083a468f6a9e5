/* json_read.c - values of a JSON text, checked, with messages that say where. */
#include "formats/json_read.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

json_place json_member(const json_place *of, const char *key)
{
    return (json_place){of, key, 0, json_object_get(of->value, key)};
}

json_place json_element(const json_place *of, size_t index)
{
    return (json_place){of, NULL, index, json_array_get(of->value, index)};
}

deft_status json_read(const json_source *s, deft_bytes text, json_t **out)
{
    json_error_t why;
    char what[160];
    *out = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &why);
    if (!*out)
        return deft_fail(s->err, DEFT_E_FORMAT, "%s: line %d, column %d: not JSON: %s", s->where,
                         why.line, why.column,
                         deft_escape(what, sizeof what, why.text, sizeof why.text));
    if (json_is_object(*out)) return DEFT_OK;
    json_decref(*out);
    *out = NULL;
    return deft_fail(s->err, DEFT_E_FORMAT, "%s: not a JSON object, {...}", s->where);
}

static void put_place(char *buf, size_t n, const json_place *at)
{
    if (!at->in) return;
    put_place(buf, n, at->in); // as deep as the code that reads, not as the text
    const size_t used = strlen(buf);
    char key[80];
    if (!at->key)
        (void)snprintf(buf + used, n - used, "[%zu]", at->index);
    else
        (void)snprintf(buf + used, n - used, "%s%s", used ? "." : "",
                       deft_escape(key, sizeof key, at->key, 64));
}

deft_status json_wrong(const json_source *s, const json_place *at, deft_status status,
                       const char *fmt, ...)
{
    char place[200] = "", text[400];
    put_place(place, sizeof place, at);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return deft_fail(s->err, status, "%s: %s%s%s", s->where, place, *place ? " " : "", text);
}

/* Everything that is not what it should be. */
static deft_status unfit(const json_source *s, const json_place *at, const char *wanted)
{
    if (json_is_null(at->value))
        return json_wrong(s, at, DEFT_E_FORMAT,
                          "is null, which stands for what is not known: put %s in its place, or, "
                          "if it need not be said, leave the key out",
                          wanted);
    return json_wrong(s, at, DEFT_E_FORMAT, at->value ? "must be %s" : "is missing: %s", wanted);
}

deft_status json_only(const json_source *s, const json_place *at, const char *const *known)
{
    const char *key;
    json_t *value;
    if (!json_is_object(at->value)) return unfit(s, at, "an object, {...}");
    json_object_foreach(at->value, key, value)
    {
        const char *const *k = known;
        while (*k && strcmp(*k, key) != 0) k++;
        if (*k) continue;
        char list[240] = "";
        for (k = known; *k; k++) {
            const size_t used = strlen(list);
            (void)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", *k);
        }
        const json_place here = {at, key, 0, value};
        return json_wrong(s, &here, DEFT_E_FORMAT, "is not a key here; there are: %s", list);
    }
    return DEFT_OK;
}

deft_status json_get_text(const json_source *s, const json_place *at, size_t max_length,
                          const char **out)
{
    if (!json_is_string(at->value)) return unfit(s, at, "text");
    const size_t n = json_string_length(at->value);
    if (n > max_length)
        return json_wrong(s, at, DEFT_E_FORMAT, "has %zu bytes; at most %zu are taken", n,
                          max_length);
    *out = deft_arena_strndup(s->a, json_string_value(at->value), n);
    return *out ? DEFT_OK : deft_fail(s->err, DEFT_E_SPACE, "%s: no memory", s->where);
}

deft_status json_get_number(const json_source *s, const json_place *at, float *out)
{
    const double v = json_number_value(at->value);
    if (!json_is_number(at->value)) return unfit(s, at, "a number");
    if (!(fabs(v) <= (double)FLT_MAX))
        return json_wrong(s, at, DEFT_E_FORMAT, "is beyond the numbers of 32 bits");
    *out = (float)v;
    return DEFT_OK;
}

deft_status json_get_count(const json_source *s, const json_place *at, int32_t lo, int32_t hi,
                           int32_t *out)
{
    char wanted[64];
    const json_int_t v = json_integer_value(at->value);
    (void)snprintf(wanted, sizeof wanted, "a whole number from %d to %d", (int)lo, (int)hi);
    if (!json_is_integer(at->value) || v < lo || v > hi) return unfit(s, at, wanted);
    *out = (int32_t)v;
    return DEFT_OK;
}

deft_status json_get_choice(const json_source *s, const json_place *at, const char *const *choices,
                            int32_t *out)
{
    const char *const v = json_string_value(at->value);
    char list[160] = "";
    for (int32_t k = 0; choices[k]; k++) {
        const size_t used = strlen(list);
        if (v && strcmp(v, choices[k]) == 0) {
            *out = k;
            return DEFT_OK;
        }
        (void)snprintf(list + used, sizeof list - used, "%s\"%s\"", used ? " or " : "", choices[k]);
    }
    return unfit(s, at, list);
}

deft_status json_check_list(const json_source *s, const json_place *at, int32_t n, bool exact)
{
    const size_t have = json_array_size(at->value);
    if (!json_is_array(at->value)) return exact ? unfit(s, at, "a list, [...]") : DEFT_OK;
    if (have == (size_t)n) return DEFT_OK;
    return json_wrong(s, at, DEFT_E_FORMAT, "lists %zu; it must be %d%s", have, (int)n,
                      exact ? "" : ", or one for all without brackets");
}

static json_place item(const json_place *at, int32_t i)
{
    return json_is_array(at->value) ? json_element(at, (size_t)i) : *at;
}

deft_status json_get_numbers(const json_source *s, const json_place *at, int32_t n, bool exact,
                             float **out)
{
    if (!at->value) return DEFT_OK;
    deft_status e = json_check_list(s, at, n, exact);
    float *v = DEFT_NEW_ARRAY(s->a, float, n);
    if (e == DEFT_OK && !v) e = deft_fail(s->err, DEFT_E_SPACE, "%s: no memory", s->where);
    for (int32_t i = 0; e == DEFT_OK && i < n; i++) {
        const json_place x = item(at, i);
        e = json_get_number(s, &x, &v[i]);
    }
    if (e == DEFT_OK) *out = v;
    return e;
}

deft_status json_get_texts(const json_source *s, const json_place *at, int32_t n, bool exact,
                           size_t max_length, const char ***out)
{
    if (!at->value) return DEFT_OK;
    deft_status e = json_check_list(s, at, n, exact);
    const char **v = DEFT_NEW_ARRAY(s->a, const char *, n);
    if (e == DEFT_OK && !v) e = deft_fail(s->err, DEFT_E_SPACE, "%s: no memory", s->where);
    for (int32_t i = 0; e == DEFT_OK && i < n; i++) {
        const json_place x = item(at, i);
        e = json_get_text(s, &x, max_length, &v[i]);
    }
    if (e == DEFT_OK) *out = v;
    return e;
}

static deft_status get_end(const json_source *s, const json_place *at, float none, float *out)
{
    const char *const text = json_string_value(at->value);
    *out = none;
    if (text && strcmp(text, "none") == 0) return DEFT_OK;
    if (!json_is_number(at->value)) return unfit(s, at, "a number, or \"none\"");
    return json_get_number(s, at, out);
}

deft_status json_get_ranges(const json_source *s, const json_place *at, int32_t n, float **lo,
                            float **hi)
{
    if (!at->value) return DEFT_OK;
    if (!json_is_array(at->value)) return unfit(s, at, "[low, high]");
    float *l = DEFT_NEW_ARRAY(s->a, float, n), *h = DEFT_NEW_ARRAY(s->a, float, n);
    if (!l || !h) return deft_fail(s->err, DEFT_E_SPACE, "%s: no memory", s->where);
    const bool each = json_is_array(json_array_get(at->value, 0));
    if (each && json_array_size(at->value) != (size_t)n)
        return json_wrong(s, at, DEFT_E_FORMAT, "lists %zu ranges; it must be %d, or one for all",
                          json_array_size(at->value), (int)n);
    for (int32_t i = 0; i < n; i++) {
        const json_place pair = each ? json_element(at, (size_t)i) : *at;
        if (json_array_size(pair.value) != 2) return unfit(s, &pair, "[low, high]");
        const json_place low = json_element(&pair, 0), high = json_element(&pair, 1);
        deft_status e = get_end(s, &low, -INFINITY, &l[i]);
        if (e == DEFT_OK) e = get_end(s, &high, INFINITY, &h[i]);
        if (e != DEFT_OK) return e;
        if (!(l[i] <= h[i])) return json_wrong(s, &pair, DEFT_E_FORMAT, "is empty: low above high");
    }
    *lo = l;
    *hi = h;
    return DEFT_OK;
}
