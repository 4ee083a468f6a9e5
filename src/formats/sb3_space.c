/* sb3_space.c - spaces of Gym and Gymnasium out of the `data` of Stable-Baselines3. */
#include "formats/sb3.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BASE64 = 32 << 20, IMAGE_RANK = 3 };

const char *sb3_text(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

const char *sb3_class_name(const char *text, deft_arena *a)
{
    const char *quote = strchr(text, '\''), *end = quote ? strchr(quote + 1, '\'') : NULL;
    if (strncmp(text, "<class ", 7) != 0 || !end) return deft_arena_strndup(a, text, 200);
    return deft_arena_strndup(a, quote + 1, (size_t)(end - quote - 1));
}

/* --- pickles --------------------------------------------------------------------------------- */

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *d = c ? strchr(digits, c) : NULL;
    return d ? (int)(d - digits) : -1;
}

/* Empty where the text is not base64. */
static deft_bytes from_base64(const char *s, size_t n, deft_arena *a)
{
    while (n && s[n - 1] == '=') n--;
    uint8_t *out = n && n <= MAX_BASE64 ? deft_arena_alloc(a, n / 4 * 3 + 3) : NULL;
    size_t size = 0;
    uint32_t bits = 0;
    for (size_t i = 0; out && i < n; i++) {
        const int d = digit_of(s[i]);
        if (d < 0) return (deft_bytes){0};
        bits = bits << 6 | (uint32_t)d;
        if (i % 4) out[size++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return (deft_bytes){out, size};
}

const pickle_value *sb3_unpickle(const json_t *o, deft_arena *work)
{
    const json_t *text = json_object_get(o, ":serialized:");
    pickle_value *v = NULL;
    if (!json_is_string(text)) return NULL;
    const deft_bytes b = from_base64(json_string_value(text), json_string_length(text), work);
    return b.size && pickle_load(b, work, &v, NULL) == DEFT_OK ? v : NULL;
}

static float *floats_of(const pickle_value *v, int64_t n, deft_arena *a)
{
    double x = 0;
    float *out = v && pickle_count(v) == n ? DEFT_NEW_ARRAY(a, float, n) : NULL;
    for (int64_t i = 0; out && i < n; i++) {
        if (!pickle_number(v, i, &x) || isnan(x)) return NULL;
        out[i] = fabs(x) > (double)FLT_MAX ? (x > 0 ? INFINITY : -INFINITY) : (float)x;
    }
    return out;
}

/* The number of elements of a shape, -1 where it cannot be read. */
static int64_t elements(const pickle_value *shape, int64_t *rank)
{
    int64_t count = 1;
    *rank = pickle_count(shape);
    if (!shape || (shape->kind != PICKLE_TUPLE && shape->kind != PICKLE_LIST)) return -1;
    for (int64_t i = 0; i < *rank; i++) {
        double d = 0;
        if (!pickle_number(shape, i, &d) || !(d >= 1 && d <= SB3_MAX_ELEMENTS)) return -1;
        if (count > SB3_MAX_ELEMENTS / (int64_t)d) return -1;
        count *= (int64_t)d;
    }
    return count;
}

static const pickle_value *shape_of(const pickle_value *v)
{
    const pickle_value *shape = pickle_entry(v, "_shape");
    return shape ? shape : pickle_entry(v, "shape");
}

static bool box_of(const pickle_value *v, deft_arena *a, sb3_space *out)
{
    int64_t rank = 0;
    const int64_t n = elements(shape_of(v), &rank);
    const pickle_value *type = pickle_entry(v, "dtype");
    if (n < 1) return false;
    const bool bytes = type && type->kind == PICKLE_DTYPE && type->as.dtype.kind == 'u' &&
                       type->as.dtype.size == 1;
    out->kind = SB3_SPACE_BOX;
    out->called = "Box";
    out->n = (int32_t)n;
    out->image = rank == IMAGE_RANK && bytes;
    out->low = floats_of(pickle_entry(v, "low"), n, a);
    out->high = floats_of(pickle_entry(v, "high"), n, a);
    return true;
}

static bool whole(const pickle_value *v, int64_t i, int32_t *out)
{
    double d = 0;
    if (!pickle_number(v, i, &d) || !(d >= 1 && d <= SB3_MAX_ELEMENTS) || d != floor(d))
        return false;
    *out = (int32_t)d;
    return true;
}

static bool parts_of(const pickle_value *v, sb3_space *out)
{
    const pickle_value *nvec = pickle_entry(v, "nvec");
    const int64_t n = pickle_count(nvec);
    out->kind = SB3_SPACE_MULTI_DISCRETE;
    out->called = "MultiDiscrete";
    if (n < 1 || n > SB3_MAX_PARTS) return false;
    out->n = (int32_t)n;
    for (int64_t i = 0; i < n; i++) {
        int32_t part = 0;
        if (!whole(nvec, i, &part)) return false;
        out->choices += part;
    }
    return true;
}

static bool simple_space(const pickle_value *v, deft_arena *a, sb3_space *out)
{
    *out = (sb3_space){0};
    if (pickle_is_a(v, "Box")) return box_of(v, a, out);
    if (pickle_is_a(v, "MultiDiscrete")) return parts_of(v, out);
    if (pickle_is_a(v, "Discrete")) {
        out->kind = SB3_SPACE_DISCRETE;
        out->called = "Discrete";
        out->n = 1;
        return whole(pickle_entry(v, "n"), 0, &out->choices);
    }
    if (pickle_is_a(v, "MultiBinary")) {
        int64_t rank = 0;
        const int64_t n = elements(shape_of(v), &rank);
        out->kind = SB3_SPACE_MULTI_BINARY;
        out->called = "MultiBinary";
        out->n = (int32_t)n;
        return n > 0 || whole(pickle_entry(v, "n"), 0, &out->n);
    }
    return false;
}

bool sb3_space_of_pickle(const pickle_value *v, deft_arena *a, sb3_space *out)
{
    if (!pickle_is_a(v, "Dict")) return simple_space(v, a, out);
    *out = (sb3_space){.kind = SB3_SPACE_DICT, .called = "Dict"};
    const pickle_value *all = pickle_entry(v, "spaces");
    if (!all || all->kind != PICKLE_DICT || all->as.list.n > 2 * (size_t)SB3_MAX_PARTS)
        return false;
    sb3_space *part = DEFT_NEW_ARRAY(a, sb3_space, all->as.list.n / 2);
    if (!part) return false;
    for (size_t i = 0; i + 1 < all->as.list.n; i += 2) {
        const pickle_value *key = all->as.list.item[i];
        sb3_space *p = &part[out->n_part++];
        if (key->kind != PICKLE_TEXT || !simple_space(all->as.list.item[i + 1], a, p)) return false;
        p->key = deft_arena_strndup(a, key->as.text.s, key->as.text.n);
        if (!p->key || out->n > SB3_MAX_ELEMENTS) return false;
        out->n += p->n;
    }
    out->part = part;
    return out->n_part > 0;
}

/* --- texts ----------------------------------------------------------------------------------- */

/* "[-2.  0.]", "[[0. 1.]\n [2. inf]]": exactly n numbers. */
static float *floats_of_text(const char *s, int64_t n, deft_arena *a)
{
    float *out = s ? DEFT_NEW_ARRAY(a, float, n) : NULL;
    int64_t count = 0;
    while (out && *s) {
        char *end = NULL;
        if (isspace((unsigned char)*s) || *s == '[' || *s == ']' || *s == ',') {
            s++;
            continue;
        }
        const float v = strtof(s, &end);
        if (end == s || count == n || isnan(v)) return NULL; // "..." among others
        out[count++] = v;
        s = end;
    }
    return out && count == n ? out : NULL;
}

/* A shape in JSON: [2], or "(2,)"; -1: none. */
static int64_t elements_of_json(const json_t *shape, int64_t *rank)
{
    int64_t count = 1, most = SB3_MAX_ELEMENTS;
    *rank = 0;
    if (json_is_array(shape)) {
        for (size_t i = 0; i < json_array_size(shape); i++, ++*rank) {
            const json_int_t d = json_integer_value(json_array_get(shape, i));
            if (d < 1 || d > most / count) return -1;
            count *= d;
        }
        return count;
    }
    const char *s = json_string_value(shape);
    if (!s || *s != '(') return -1;
    for (s++; *s && *s != ')'; ++*rank) {
        char *end = NULL;
        const long long d = strtoll(s, &end, 10);
        if (end == s || d < 1 || d > most / count) return -1;
        count *= d;
        s = end + strspn(end, ", ");
    }
    return *s ? count : -1;
}

static int64_t whole_of_json(const json_t *v)
{
    const char *s = json_string_value(v);
    const int64_t n = s ? strtoll(s, NULL, 10) : json_integer_value(v);
    return n >= 1 && n <= SB3_MAX_ELEMENTS ? n : 0;
}

static bool box_of_text(const json_t *o, deft_arena *a, sb3_space *out)
{
    int64_t rank = 0;
    const json_t *shape = json_object_get(o, "_shape");
    const int64_t n = elements_of_json(shape ? shape : json_object_get(o, "shape"), &rank);
    const char *type = sb3_text(o, "dtype");
    if (n < 1) return false;
    out->n = (int32_t)n;
    out->image = rank == IMAGE_RANK && type && strstr(type, "uint8");
    out->low = floats_of_text(sb3_text(o, "low"), n, a);
    out->high = floats_of_text(sb3_text(o, "high"), n, a);
    return true;
}

/* "[3 2]" */
static bool parts_of_text(const char *s, sb3_space *out)
{
    for (; s && *s; out->n++) {
        s += strspn(s, "[], \n");
        if (!*s) break;
        char *end = NULL;
        const long long d = strtoll(s, &end, 10);
        if (end == s || d < 1 || d > SB3_MAX_ELEMENTS || out->n == SB3_MAX_PARTS) return false;
        out->choices += (int32_t)d;
        s = end;
    }
    return out->n > 0;
}

/* A space as Gym prints it: "Box(-inf, inf, (3,), float32)", "Discrete(4)". *end: the first
 * character after it. */
static bool printed(const char *s, const char **end, sb3_space *out)
{
    const size_t name = strcspn(s, "(");
    const char *shape = s + name, *p = shape;
    int depth = 0;
    do { // the last group of parentheses inside is the shape; old Gym prints that alone
        if (!*p) return false;
        if (*p == '(' && ++depth == 2) shape = p;
        if (*p == ')') depth--;
        p++;
    } while (depth);
    *end = p;
    *out = (sb3_space){.called = "Box", .kind = SB3_SPACE_BOX, .n = 1};
    char *stop = NULL;
    const bool box = name == 3 && strncmp(s, "Box", 3) == 0;
    int rank = 0;
    for (const char *d = shape + 1; box && *d && *d != ')'; rank++) {
        const long long v = strtoll(d, &stop, 10);
        if (stop == d || v < 1 || v > SB3_MAX_ELEMENTS / out->n) return false;
        out->n *= (int32_t)v;
        d = stop + strspn(stop, ", ");
    }
    if (box) {
        const char *bytes = strstr(s, "uint8");
        out->image = rank == IMAGE_RANK && bytes && bytes < p;
        return rank > 0;
    }
    const bool discrete = name == 8 && strncmp(s, "Discrete", 8) == 0;
    const bool binary = name == 11 && strncmp(s, "MultiBinary", 11) == 0;
    const long long v = strtoll(s + name + 1, &stop, 10);
    if (v < 1 || v > SB3_MAX_ELEMENTS || (!discrete && !binary)) {
        out->kind = SB3_SPACE_OTHER;
        out->called = "a space of another kind";
        return true;
    }
    out->kind = discrete ? SB3_SPACE_DISCRETE : SB3_SPACE_MULTI_BINARY;
    out->called = discrete ? "Discrete" : "MultiBinary";
    if (discrete) out->choices = (int32_t)v;
    if (binary) out->n = (int32_t)v;
    return true;
}

/* "OrderedDict([('a', Box(...)), ('b', ...)])" or "{'a': Box(...), ...}". */
static bool dict_of_text(const char *s, deft_arena *a, sb3_space *out)
{
    sb3_space *part = s ? DEFT_NEW_ARRAY(a, sb3_space, SB3_MAX_PARTS) : NULL;
    while (part && (s = strchr(s, '\'')) != NULL) {
        const char *key = s + 1, *end = strchr(key, '\'');
        if (!end || out->n_part == SB3_MAX_PARTS) return false;
        const size_t n = (size_t)(end - key);
        s = end + 1 + strspn(end + 1, ":, ");
        sb3_space *p = &part[out->n_part++];
        if (!isupper((unsigned char)*s) || !printed(s, &s, p)) return false;
        p->key = deft_arena_strndup(a, key, n);
        if (!p->key || p->n > SB3_MAX_ELEMENTS - out->n) return false;
        out->n += p->n;
    }
    out->part = part;
    return part && out->n_part > 0;
}

static bool space_of_text(const json_t *o, deft_arena *a, sb3_space *out)
{
    static const struct {
        const char *name;
        sb3_space_kind kind;
    } kinds[] = {{"Box", SB3_SPACE_BOX},
                 {"Discrete", SB3_SPACE_DISCRETE},
                 {"MultiDiscrete", SB3_SPACE_MULTI_DISCRETE},
                 {"MultiBinary", SB3_SPACE_MULTI_BINARY},
                 {"Dict", SB3_SPACE_DICT}};
    const char *type = sb3_text(o, ":type:");
    *out = (sb3_space){0};
    if (!type) return false;
    const char *name = sb3_class_name(type, a), *dot = name ? strrchr(name, '.') : NULL;
    if (!name) return false;
    out->called = name;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(dot ? dot + 1 : name, kinds[i].name) == 0) out->kind = kinds[i].kind;
    switch (out->kind) {
    case SB3_SPACE_BOX:
        return box_of_text(o, a, out);
    case SB3_SPACE_DISCRETE:
        out->n = 1;
        out->choices = (int32_t)whole_of_json(json_object_get(o, "n"));
        return out->choices > 0;
    case SB3_SPACE_MULTI_DISCRETE:
        return parts_of_text(sb3_text(o, "nvec"), out);
    case SB3_SPACE_MULTI_BINARY:
        out->n = (int32_t)whole_of_json(json_object_get(o, "n"));
        return out->n > 0;
    case SB3_SPACE_DICT:
        return dict_of_text(sb3_text(o, "spaces"), a, out);
    default:
        out->kind = SB3_SPACE_OTHER;
        return true;
    }
}

/* --- both ------------------------------------------------------------------------------------ */

static bool same_limits(const float *x, const float *y, int32_t n)
{
    for (int32_t i = 0; x && y && i < n; i++) {
        const float size = fmaxf(1, fmaxf(fabsf(x[i]), fabsf(y[i])));
        if (x[i] != y[i] && !(fabsf(x[i] - y[i]) <= 1e-4f * size)) return false;
    }
    return true;
}

static bool same_space(const sb3_space *x, const sb3_space *y)
{
    for (int32_t i = 0; y->kind == x->kind && i < y->n_part; i++)
        if (y->part[i].kind == SB3_SPACE_OTHER) return true; // its text was not read
    if (x->kind != y->kind || x->n != y->n || x->choices != y->choices || x->n_part != y->n_part)
        return false;
    for (int32_t i = 0; i < x->n_part; i++)
        if (strcmp(x->part[i].key, y->part[i].key) != 0 || x->part[i].n != y->part[i].n)
            return false;
    return same_limits(x->low, y->low, x->n) && same_limits(x->high, y->high, x->n);
}

deft_status sb3_space_read(const json_t *o, const char *name, deft_arena *work, deft_arena *a,
                           sb3_space *out, deft_error *err)
{
    sb3_space text;
    *out = (sb3_space){0};
    if (!json_is_object(o)) return DEFT_OK; // not said
    const pickle_value *v = sb3_unpickle(o, work);
    const bool pickled = v && sb3_space_of_pickle(v, a, out);
    const bool read = space_of_text(o, a, &text);
    if (pickled && read && text.kind != SB3_SPACE_OTHER && !same_space(out, &text))
        return deft_fail(err, DEFT_E_MISMATCH,
                         "'%s': what is pickled and what is written beside it are not the same",
                         name);
    if (pickled) return DEFT_OK;
    *out = text;
    if (!read) out->kind = text.kind == SB3_SPACE_OTHER ? SB3_SPACE_OTHER : SB3_SPACE_NONE;
    return DEFT_OK;
}
