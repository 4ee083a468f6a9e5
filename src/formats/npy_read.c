/* npy_read.c - arrays of NumPy: .npy, and .npz, which is a zip archive of them. The header is a
 * literal of Python's, {'descr': '<f4', 'fortran_order': False, 'shape': (500, 17), }: it is parsed
 * by its own small grammar, and nothing of it is run. (numpy.lib.format, versions 1 to 3.) */
#include "formats/torch_private.h"

#include <string.h>

enum { MOST_HEADER = 1 << 16, MOST_ENTRIES = 256, MOST_DIGITS = 10 };

typedef struct header {
    char kind;    // f, i, u or b
    size_t size;  // bytes of an element
    bool big;     // big-endian
    bool fortran; // the first index runs fastest
    int32_t rank;
    int64_t dim[2];
    unsigned seen; // keys: 1 descr, 2 fortran_order, 4 shape
} header;

typedef struct text {
    const char *at, *end;
    deft_error *err;
} text;

static void skip(text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t')) t->at++;
}

static bool take(text *t, char c)
{
    skip(t);
    if (t->at == t->end || *t->at != c) return false;
    t->at++;
    return true;
}

/* 'word' or "word", without escapes. */
static bool quoted(text *t, char *out, size_t room)
{
    skip(t);
    if (t->at == t->end || (*t->at != '\'' && *t->at != '"')) return false;
    const char quote = *t->at++;
    size_t n = 0;
    for (; t->at < t->end && *t->at != quote; t->at++) {
        if (*t->at == '\\' || n + 1 >= room) return false;
        out[n++] = *t->at;
    }
    out[n] = '\0';
    return take(t, quote);
}

static bool word(text *t, const char *w)
{
    const size_t n = strlen(w);
    skip(t);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, w, n) != 0) return false;
    t->at += n;
    return true;
}

static bool number(text *t, int64_t *out)
{
    int32_t digits = 0;
    skip(t);
    for (*out = 0; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++, digits++) {
        if (digits == MOST_DIGITS) return false;
        *out = *out * 10 + (*t->at - '0');
    }
    return digits > 0;
}

static deft_status malformed(const text *t, const char *what)
{
    return deft_fail(t->err, DEFT_E_FORMAT, "the header of the array: %s", what);
}

static deft_status read_descr(text *t, header *h)
{
    char d[16] = "";
    if (!quoted(t, d, sizeof d)) return malformed(t, "'descr' is not a plain number format");
    static const char *const known[] = {"f4", "f8", "i1", "i2", "i4", "i8",
                                        "u1", "u2", "u4", "u8", "b1"};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        if (!strchr("<>|=", d[0]) || !d[0] || strcmp(d + 1, known[k]) != 0) continue;
        h->kind = d[1];
        h->size = (size_t)(d[2] - '0');
        h->big = d[0] == '>';
        return DEFT_OK;
    }
    char shown[64];
    return deft_fail(t->err, DEFT_E_UNSUPPORTED,
                     "numbers of type '%s': float32, float64, integers and booleans are read",
                     deft_escape(shown, sizeof shown, d, sizeof d));
}

static deft_status read_shape(text *t, header *h)
{
    if (!take(t, '(')) return malformed(t, "'shape' is not a tuple");
    while (!take(t, ')')) {
        int64_t n;
        if (!number(t, &n)) return malformed(t, "'shape' has an element that is not a number");
        if (h->rank < 2) h->dim[h->rank] = n;
        h->rank++;
        if (h->rank > 32) return malformed(t, "'shape' has more than 32 elements");
        if (take(t, ',')) continue;
        if (!take(t, ')')) return malformed(t, "'shape' does not end");
        break;
    }
    return DEFT_OK;
}

static deft_status read_key(text *t, header *h)
{
    static const char *const key[] = {"descr", "fortran_order", "shape"};
    char name[24];
    if (!quoted(t, name, sizeof name) || !take(t, ':')) return malformed(t, "'key': is expected");
    unsigned k = 0;
    while (k < 3 && strcmp(name, key[k]) != 0) k++;
    if (k == 3) return malformed(t, "a key other than descr, fortran_order and shape");
    if (h->seen & 1u << k) return malformed(t, "a key is there twice");
    h->seen |= 1u << k;
    if (k == 0) return read_descr(t, h);
    if (k == 2) return read_shape(t, h);
    h->fortran = word(t, "True");
    return h->fortran || word(t, "False")
               ? DEFT_OK
               : malformed(t, "'fortran_order' is neither True nor False");
}

static deft_status read_header(text *t, header *h)
{
    *h = (header){0};
    if (!take(t, '{')) return malformed(t, "it is not a dictionary");
    while (!take(t, '}')) {
        const deft_status s = read_key(t, h);
        if (s != DEFT_OK) return s;
        if (take(t, ',')) continue;
        if (!take(t, '}')) return malformed(t, "it does not end");
        break;
    }
    skip(t);
    if (t->at != t->end) return malformed(t, "something follows the dictionary");
    return h->seen == 7 ? DEFT_OK : malformed(t, "descr, fortran_order or shape is missing");
}

/* Where the elements begin, and the header's text. */
static deft_status frame(deft_bytes b, text *t, size_t *at, deft_error *err)
{
    if (b.size < 12 || memcmp(b.data, "\x93NUMPY", 6) != 0)
        return deft_fail(err, DEFT_E_FORMAT, "not an array of NumPy");
    const int version = b.data[6];
    if (version < 1 || version > 3)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "version %d of .npy: 1 to 3 are read", version);
    const size_t head = version == 1 ? 10 : 12;
    size_t n = (size_t)b.data[8] | (size_t)b.data[9] << 8;
    if (version > 1) n |= (size_t)b.data[10] << 16 | (size_t)b.data[11] << 24;
    if (n > MOST_HEADER || n > b.size - head)
        return deft_fail(err, DEFT_E_FORMAT, "the header of the array is cut off or too long");
    *t = (text){(const char *)b.data + head, (const char *)b.data + head + n, err};
    *at = head + n;
    return DEFT_OK;
}

static double element(const header *h, const uint8_t *p)
{
    uint64_t v = 0;
    for (size_t k = 0; k < h->size; k++) v |= (uint64_t)p[h->big ? h->size - 1 - k : k] << 8 * k;
    if (h->kind == 'f' && h->size == 4) {
        const uint32_t bits = (uint32_t)v;
        float f;
        memcpy(&f, &bits, sizeof f);
        return (double)f;
    }
    if (h->kind == 'f') {
        double d;
        memcpy(&d, &v, sizeof d);
        return d;
    }
    const uint64_t sign = (uint64_t)1 << (8 * h->size - 1);
    if (h->kind != 'i' || !(v & sign)) return (double)v;
    return -(double)(((~v) & (sign - 1)) + 1);
}

deft_status deft_npy_read(deft_bytes b, deft_arena *a, deft_npy *out, deft_error *err)
{
    text t;
    header h;
    size_t at = 0;
    *out = (deft_npy){0};
    deft_status s = frame(b, &t, &at, err);
    if (s == DEFT_OK) s = read_header(&t, &h);
    if (s != DEFT_OK) return s;
    if (h.size < 1 || h.rank < 1 || h.rank > 2)
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "an array of %d dimensions: [rows][columns] or [rows] is read", h.rank);
    const int64_t rows = h.dim[0], columns = h.rank == 2 ? h.dim[1] : 1;
    if (rows > INT32_MAX || columns > INT16_MAX)
        return deft_fail(err, DEFT_E_RANGE, "%lld rows of %lld columns are too many",
                         (long long)rows, (long long)columns);
    const size_t n = (size_t)rows * (size_t)columns;         // below 2^46
    const size_t want = n <= b.size ? n * h.size : SIZE_MAX; // h.size is at most 8
    if (want != b.size - at)
        return deft_fail(err, DEFT_E_FORMAT,
                         "%lld rows of %lld columns take %llu bytes, and there are %llu",
                         (long long)rows, (long long)columns, (unsigned long long)want,
                         (unsigned long long)(b.size - at));
    double *const v = DEFT_NEW_ARRAY(a, double, n);
    if (!v) return deft_fail(err, DEFT_E_SPACE, "no memory");
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t c = 0; c < (size_t)columns; c++) {
            const size_t k = h.fortran ? c * (size_t)rows + r : r * (size_t)columns + c;
            v[r * (size_t)columns + c] = element(&h, b.data + at + k * h.size);
        }
    *out = (deft_npy){"", (int32_t)rows, (int32_t)columns, h.rank, v};
    return DEFT_OK;
}

static deft_status read_entry(torch_zip *z, const char *name, deft_arena *a, deft_npy *out,
                              deft_error *err)
{
    deft_bytes b;
    char shown[128];
    const size_t n = strlen(name);
    deft_status s = torch_zip_read(z, name, &b, err);
    if (s == DEFT_OK) s = deft_npy_read(b, a, out, err);
    if (s != DEFT_OK)
        return deft_error_prefix(err, "%s", deft_escape(shown, sizeof shown, name, 1024));
    const bool suffix = n > 4 && strcmp(name + n - 4, ".npy") == 0;
    out->name = deft_arena_strndup(a, name, suffix ? n - 4 : n);
    return out->name ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
}

deft_status deft_npz_open(deft_bytes b, deft_arena *a, deft_npz *out, deft_error *err)
{
    torch_zip *z;
    *out = (deft_npz){.bytes = b};
    deft_status s = torch_zip_open(b, a, &z, err);
    if (s != DEFT_OK) return s;
    const size_t n = torch_zip_count(z);
    const char **name = DEFT_NEW_ARRAY(a, const char *, n);
    if (n > MOST_ENTRIES) s = deft_fail(err, DEFT_E_RANGE, "more than %d arrays", MOST_ENTRIES);
    if (s == DEFT_OK && !name) s = deft_fail(err, DEFT_E_SPACE, "no memory");
    for (size_t i = 0; s == DEFT_OK && i < n; i++) {
        const char *const full = torch_zip_name(z, i);
        const size_t len = strlen(full);
        const bool suffix = len > 4 && strcmp(full + len - 4, ".npy") == 0;
        name[i] = deft_arena_strndup(a, full, suffix ? len - 4 : len);
        if (!name[i]) s = deft_fail(err, DEFT_E_SPACE, "no memory");
    }
    torch_zip_close(z);
    if (s != DEFT_OK) return s;
    out->n = (int32_t)n;
    out->name = name;
    return DEFT_OK;
}

deft_status deft_npz_read(const deft_npz *npz, int32_t index, deft_arena *a, deft_npy *out,
                          deft_error *err)
{
    torch_zip *z;
    *out = (deft_npy){0};
    deft_status s = torch_zip_open(npz->bytes, a, &z, err);
    if (s != DEFT_OK) return s;
    if (index < 0 || (size_t)index >= torch_zip_count(z))
        s = deft_fail(err, DEFT_E_ARG, "the archive has %d arrays", (int)npz->n);
    else
        s = read_entry(z, torch_zip_name(z, (size_t)index), a, out, err);
    torch_zip_close(z);
    return s;
}
