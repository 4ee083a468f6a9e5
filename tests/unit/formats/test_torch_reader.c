/* test_torch_reader.c - what is read from checkpoints, and what hostile ones get for an answer. */
#include "checkpoint_files.h"

#include <math.h>
#include <string.h>
#include <zip.h>

/* --- what PyTorch wrote ---------------------------------------------------------------------- */

static const deft_tensor *find(const deft_checkpoint *c, const char *name)
{
    for (int32_t i = 0; c && i < c->n; i++)
        if (strcmp(c->name[i], name) == 0) return &c->tensor[i];
    return NULL;
}

static int64_t element(const deft_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case DEFT_I64:
        return ((const int64_t *)t->data)[i];
    case DEFT_I32:
        return ((const int32_t *)t->data)[i];
    case DEFT_I16:
        return ((const int16_t *)t->data)[i];
    case DEFT_I8:
        return ((const int8_t *)t->data)[i];
    default:
        return ((const uint8_t *)t->data)[i];
    }
}

static void check_integers(deft_arena *a)
{
    static const struct {
        const char *name;
        deft_dtype dtype;
    } want[] = {{"int8", DEFT_I8},   {"uint8", DEFT_U8},  {"int16", DEFT_I16},
                {"int32", DEFT_I32}, {"int64", DEFT_I64}, {"bool", DEFT_BOOL}};
    static const int64_t value[] = {0, 1, 2, 3, 100, 127};
    deft_error err = {0};
    deft_checkpoint *c = NULL;
    CHECK_OK(read_checkpoint("integers", a, &c, &err), err);
    CHECK(c && c->n == 6, "integers");
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        const deft_tensor *t = find(c, want[i].name);
        CHECK(t && t->dtype == want[i].dtype && t->rank == 2 && t->dim[0] == 2 && t->dim[1] == 3,
              "%s", want[i].name);
        for (int64_t k = 0; t && k < 6; k++) {
            const int64_t wanted = t->dtype == DEFT_BOOL ? value[k] != 0 : value[k];
            CHECK(element(t, k) == wanted, "%s[%d]", want[i].name, (int)k);
        }
    }
}

static void check_names(deft_arena *a)
{
    deft_error err = {0};
    deft_checkpoint *c = NULL;
    CHECK_OK(read_checkpoint("rsl_rl_gru", a, &c, &err), err);
    CHECK(find(c, "model_state_dict.memory_a.rnn.weight_ih_l0"), "nested dicts");
    CHECK(find(c, "optimizer_state_dict.state.0.exp_avg"), "numbers as keys");
    const deft_tensor *count = find(c, "model_state_dict.actor_obs_normalizer.count");
    CHECK(count && count->rank == 0 && element(count, 0) == 17, "a scalar");
    CHECK_OK(read_checkpoint("script_frozen", a, &c, &err), err);
    const deft_tensor *frozen = find(c, "CONSTANTS.c0");
    CHECK(frozen && frozen->dtype == DEFT_F32, "constants of TorchScript");
    CHECK_OK(read_checkpoint("whole_module", a, &c, &err), err);
    CHECK(find(c, "policy.0.weight"), "a whole module");
    bool gelu = false;
    for (int32_t i = 0; c && i < c->n_module; i++)
        gelu |= strcmp(c->module_name[i], "policy.1") == 0 &&
                strcmp(c->module_class[i], "torch.nn.modules.activation.GELU") == 0;
    CHECK(gelu, "the class of a module");
    CHECK_OK(read_checkpoint("script_traced", a, &c, &err), err);
    CHECK(c && c->n_module == 8 &&
              strcmp(c->module_class[3], "torch.nn.modules.activation.SiLU") == 0,
          "mangled names of classes");
}

/* --- archives made here ---------------------------------------------------------------------- */

typedef struct entry {
    const char *name;
    const void *data;
    size_t size;
    int method; // 0: stored
} entry;

static deft_bytes make_zip(const entry *e, size_t n, deft_arena *a)
{
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *out = zip_source_buffer_create(NULL, 0, 0, &why);
    zip_t *z = zip_open_from_source(out, ZIP_TRUNCATE, &why);
    deft_bytes b = {0};
    if (!z) return b;
    zip_source_keep(out);
    for (size_t i = 0; i < n; i++) {
        zip_source_t *s = zip_source_buffer(z, e[i].data, e[i].size, 0);
        const zip_int64_t at = zip_file_add(z, e[i].name, s, ZIP_FL_ENC_UTF_8);
        zip_set_file_compression(z, (zip_uint64_t)at,
                                 e[i].method ? e[i].method : (zip_int32_t)ZIP_CM_STORE, 0);
    }
    CHECK(zip_close(z) == 0, "%s", zip_strerror(z));
    zip_stat_t st;
    if (zip_source_stat(out, &st) == 0 && zip_source_open(out) == 0) {
        uint8_t *data = deft_arena_alloc(a, (size_t)st.size);
        if (data && zip_source_read(out, data, st.size) == (zip_int64_t)st.size)
            b = (deft_bytes){data, (size_t)st.size};
        zip_source_close(out);
    }
    zip_source_free(out);
    return b;
}

#define STORAGE(type, key, n)                                                                      \
    "(X\7\0\0\0storagectorch\n" type "\nX\1\0\0\0" key "X\3\0\0\0cpu" n "tQ"
#define TENSOR(storage, offset, shape, stride)                                                     \
    "ctorch._utils\n_rebuild_tensor_v2\n(" storage offset shape stride "\x89"                      \
    "ccollections\nOrderedDict\n)RtR"
#define FLOATS      STORAGE("FloatStorage", "0", "K\4")
#define GOOD        TENSOR(FLOATS, "K\0", "K\2K\2\x86", "K\2K\1\x86")
#define DICT(value) "\x80\2}X\1\0\0\0w" value "s."
#define BYTES(text) text, sizeof(text) - 1

static const uint8_t four[16] = {0, 0, 0x80, 0x3F, 0, 0, 0,    0x40,
                                 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40};

/* Reads an archive with this pickle and the storage 0 of four floats: 1, 2, 3, 4. */
static deft_status read_pickle(const char *pickle, size_t size, deft_arena *a, deft_checkpoint **c,
                               deft_error *err)
{
    const entry e[] = {{"x/data.pkl", pickle, size, 0}, {"x/data/0", four, sizeof four, 0}};
    *err = (deft_error){0};
    return deft_torch_read(make_zip(e, 2, a), "here.pt", a, c, err);
}

typedef struct good_pickle {
    const char *pickle;
    size_t size;
    const char *name;
    int n;
    float value[4];
} good_pickle;

static void check_good(deft_arena *a)
{
    static const good_pickle cases[] = {
        {BYTES(DICT(GOOD)), "w", 4, {1, 2, 3, 4}},
        {BYTES("\x80\2" GOOD "."), "tensor", 4, {1, 2, 3, 4}},
        {BYTES("\x80\2" GOOD "q\1\x85"
               "0h\1\x85."),
         "0",
         4,
         {1, 2, 3, 4}},
        {BYTES("\x80\2](" GOOD "e."), "0", 4, {1, 2, 3, 4}},
        {BYTES(DICT(TENSOR(FLOATS, "K\1", "K\2\x85", "K\2\x85"))), "w", 2, {2, 4}},
        {BYTES(DICT(TENSOR(FLOATS, "K\3", "K\4\x85", "K\0\x85"))), "w", 4, {4, 4, 4, 4}},
        {BYTES(DICT(TENSOR(FLOATS, "K\0", "K\2K\2\x86", "K\1K\2\x86"))), "w", 4, {1, 3, 2, 4}},
        {BYTES(DICT(TENSOR(FLOATS, "K\2", ")", ")"))), "w", 1, {3}},
        {BYTES(DICT(TENSOR(FLOATS, "K\0", "K\0\x85", "K\1\x85"))), "w", 0, {0}},
        {BYTES(DICT("ctorch._utils\n_rebuild_parameter\n(" GOOD "\x88"
                    "NtR")),
         "w",
         4,
         {1, 2, 3, 4}},
        {BYTES(DICT("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_parameter\n"
                    "ctorch.nn.parameter\nParameter\n" GOOD "\x85}tR")),
         "w",
         4,
         {1, 2, 3, 4}},
        // untyped storages know bytes only
        {BYTES(DICT("ctorch._utils\n_rebuild_tensor_v3\n("
                    "(X\7\0\0\0storagectorch.storage\nUntypedStorage\nX\1\0\0\0"
                    "0X\3\0\0\0cpuK\x10"
                    "tQ"
                    "K\1K\2\x85K\1\x85\x89Nctorch\nfloat32\ntR")),
         "w",
         2,
         {2, 3}},
        // protocol 4: frames, short strings, memo in order, names of globals on the stack
        {BYTES("\x80\4\x95\0\0\0\0\0\0\0\0}\x94\x8c\1w\x94\x8c\x0ctorch._utils\x94\x8c\x12"
               "_rebuild_tensor_v2\x94\x93\x94(" FLOATS "K\0K\2\x85K\1\x85\x89NtRs."),
         "w",
         2,
         {1, 2}},
        // an object with attributes and slots; a random generator's long; numpy's scalars
        {BYTES("\x80\2"
               "c__main__\nA\n)\x81}(X\1\0\0\0w" GOOD "X\1\0\0\0r\x8a\x09\1\2\3\4\5\6\7\x08\x09"
               "X\1\0\0\0ncnumpy.core.multiarray\nscalar\nK\1\x85Ru}\x86"
               "b."),
         "w",
         4,
         {1, 2, 3, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        deft_checkpoint *c = NULL;
        deft_error err = {0};
        CHECK_OK(read_pickle(cases[i].pickle, cases[i].size, a, &c, &err), err);
        const deft_tensor *t = find(c, cases[i].name);
        CHECK(t && c->n == 1 && t->count == cases[i].n, "case %zu", i);
        for (int k = 0; t && k < cases[i].n; k++)
            CHECK(((const float *)t->data)[k] == cases[i].value[k], "case %zu: %g", i,
                  (double)((const float *)t->data)[k]);
    }
}

typedef struct bad_pickle {
    const char *pickle;
    size_t size;
    const char *text; // parts of the message
} bad_pickle;

static void check_bad(deft_arena *a)
{
    static const bad_pickle cases[] = {
        {BYTES(""), "byte 0: the pickle ends without STOP"},
        {BYTES("\x80\2"), "byte 2: the pickle ends without STOP"},
        {BYTES("\x80\6N."), "byte 0 (PROTO): protocol 6"},
        {BYTES("\x80\2."), "byte 2 (STOP): looks at an empty stack"},
        {BYTES("\x80\2}(."), "a mark is left"},
        {BYTES("\x80\2}."), "no tensors"},
        {BYTES("\x80\2X\xff\xff\xff\xffw."), "byte 2 (BINUNICODE): a length reaches behind"},
        {BYTES("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xffw."), "reaches behind the end"},
        {BYTES("\x80\2\x8b\xff\xff\xff\x7f."), "(LONG4): a length"},
        {BYTES("\x80\2K"), "ends inside an argument"},
        {BYTES("\x80\2G\0\0"), "ends inside an argument"},
        {BYTES("\x80\2cos\nsystem"), "ends inside a name"},
        {BYTES("\x80\2h\5."), "(BINGET): nothing was stored"},
        {BYTES("\x80\2Nr\xff\xff\xff\x7f."), "(LONG_BINPUT): the memo has no such place"},
        {BYTES("\x80\2"
               "0."),
         "(POP): takes from an empty stack"},
        {BYTES("\x80\2\x85."), "(TUPLE1): takes from an empty stack"},
        {BYTES("\x80\2t."), "(TUPLE): there is no mark"},
        {BYTES("\x80\2N(a."), "(APPEND): takes from an empty stack"},
        {BYTES("\x80\2NNa."), "(APPEND): items for None"},
        {BYTES("\x80\2}(Nu."), "(SETITEMS): a key has no value"},
        {BYTES("\x80\2N)R."), "(REDUCE): a call of None"},
        {BYTES("\x80\2N)\x81."), "(NEWOBJ): an instance of None"},
        {BYTES("\x80\2"
               "cos\nsystem\nX\2\0\0\0id\x85R."),
         "a call of 'os.system', which is not on"},
        {BYTES("\x80\2"
               "c__builtin__\neval\nX\1\0\0\0"
               "1\x85R."),
         "'__builtin__.eval'"},
        {BYTES("\x80\2"
               "ctorch._utils\n_rebuild_qtensor\n)R."),
         "_rebuild_qtensor"},
        {BYTES("I1\n."), "byte 0: opcode 0x49 is not one"},
        {BYTES("\x80\2i."), "opcode 0x69"},
        {BYTES("\x80\2NQ."), "(BINPERSID): a persistent id that is no storage"},
        {BYTES(DICT(TENSOR(STORAGE("QInt8Storage", "0", "K\4"), "K\0", "K\4\x85", "K\1\x85"))),
         "storages of type 'torch.QInt8Storage'"},
        {BYTES(DICT(TENSOR(STORAGE("FloatStorage", "1", "K\4"), "K\0", "K\4\x85", "K\1\x85"))),
         "tensor 'w': the archive has no entry 'x/data/1'"},
        {BYTES(DICT(TENSOR(STORAGE("FloatStorage", "0", "K\5"), "K\0", "K\4\x85", "K\1\x85"))),
         "entry 'x/data/0' holds 16 bytes for 5 elements of 4"},
        {BYTES(DICT(TENSOR(FLOATS, "K\1", "K\4\x85", "K\1\x85"))), "element 4 of storage '0'"},
        {BYTES(DICT(TENSOR(FLOATS, "K\0", "K\2K\2\x86", "K\3K\1\x86"))), "element 4 of storage"},
        {BYTES(DICT(TENSOR(FLOATS, "J\xff\xff\xff\xff", "K\4\x85", "K\1\x85"))), "an offset"},
        {BYTES(DICT(TENSOR(FLOATS, "K\0", "K\4\x85", "J\xff\xff\xff\xff\x85"))), "numbers >= 0"},
        {BYTES(DICT(TENSOR(FLOATS, "K\0", "K\4\x85", ")"))), "numbers >= 0"},
        {BYTES(DICT(TENSOR(FLOATS, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t",
                           "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"))),
         "up to 8 numbers"},
        {BYTES(DICT(TENSOR(FLOATS, "K\0", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", "K\0K\0\x86"))),
         "too large"},
        {BYTES(DICT(TENSOR(FLOATS, "K\0", "J\xff\xff\xff\x7f\x85", "K\0\x85"))),
         "are repeated from 4"},
        {BYTES("\x80\2]q\0h\0a."), "in a circle"},
        {BYTES("\x80\2}q\0X\1\0\0\0wh\0s."), "in a circle"},
        {BYTES("\x80\2}(X\1\0\0\0w" GOOD "X\1\0\0\0w" GOOD "u."), "two tensors are named 'w'"},
        {BYTES("\x80\2}X\2\0\0\0w\0" GOOD "s."), "a name holds a NUL"},
        {BYTES("\x80\2}X\1\0\0\0\n" GOOD "sq\0]h\0ah\0a0h\0}X\1\0\0\0\nh\0s."), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        deft_checkpoint *c = NULL;
        deft_error err = {0};
        const deft_status s = read_pickle(cases[i].pickle, cases[i].size, a, &c, &err);
        if (!cases[i].text) { // control characters in names are allowed, and escaped in messages
            CHECK(!strchr(err.text, '\n'), "case %zu", i);
            continue;
        }
        CHECK(s < 0 && !c && strstr(err.text, cases[i].text) && strstr(err.text, "here.pt"),
              "case %zu: status %d: %s", i, (int)s, err.text);
    }
}

/* Lists of the list before, twice: 2^40 values of 200 bytes. */
static void check_expansion(deft_arena *a)
{
    char p[256] = "\x80\2]q";
    size_t n = 5; // with the memo's place 0
    for (int k = 1; k <= 40; k++) {
        const char step[] = {']', '(', 'h', (char)(k - 1), 'h', (char)(k - 1), 'e', 'q', (char)k};
        if (n + sizeof step + 1 > sizeof p) break;
        memcpy(p + n, step, sizeof step);
        n += sizeof step;
    }
    p[n++] = '.';
    deft_checkpoint *c = NULL;
    deft_error err = {0};
    const deft_status s = read_pickle(p, n, a, &c, &err);
    CHECK(s == DEFT_E_RANGE && strstr(err.text, "more than 1048576 values"), "%s", err.text);
}

static void check_archives(deft_arena *a)
{
    static const uint8_t turned[16] = {0x3F, 0x80, 0, 0, 0x40, 0,    0, 0,
                                       0x40, 0x40, 0, 0, 0x40, 0x80, 0, 0};
    const entry pickle = {"x/data.pkl", BYTES(DICT(GOOD)), 0};
    const entry data = {"x/data/0", four, sizeof four, ZIP_CM_DEFLATE};
    deft_checkpoint *c = NULL;
    deft_error err = {0};
    const entry big[] = {pickle, {"x/data/0", turned, 16, 0}, {"x/byteorder", "big", 3, 0}};
    CHECK_OK(deft_torch_read(make_zip(big, 3, a), NULL, a, &c, &err), err);
    CHECK(c && ((const float *)c->tensor[0].data)[3] == 4.0f, "big-endian storages");
    const entry odd[] = {pickle, data, {"x/byteorder", "middle", 6, 0}};
    CHECK(deft_torch_read(make_zip(odd, 3, a), NULL, a, &c, &err) < 0 &&
              strstr(err.text, "byteorder"),
          "%s", err.text);
    const entry flat[] = {{"data.pkl", BYTES(DICT(GOOD)), 0}, {"data/0", four, 16, ZIP_CM_DEFLATE}};
    CHECK_OK(deft_torch_read(make_zip(flat, 2, a), NULL, a, &c, &err), err);
    const entry two[] = {pickle, data, {"y/data.pkl", BYTES(DICT(GOOD)), 0}};
    CHECK(deft_torch_read(make_zip(two, 3, a), NULL, a, &c, &err) < 0 &&
              strstr(err.text, "several"),
          "%s", err.text);
    const entry none[] = {{"x/other.pkl", BYTES(DICT(GOOD)), 0}};
    CHECK(deft_torch_read(make_zip(none, 1, a), NULL, a, &c, &err) < 0 &&
              strstr(err.text, "has no data.pkl"),
          "%s", err.text);
    // two entries of one name: "x/data/1" renamed behind libzip's back
    const entry twice[] = {pickle, data, {"x/data/1", four, sizeof four, 0}};
    const deft_bytes b = make_zip(twice, 3, a);
    for (size_t i = 0; i + 8 <= b.size; i++)
        if (memcmp(b.data + i, "x/data/1", 8) == 0) ((uint8_t *)(uintptr_t)b.data)[i + 7] = '0';
    CHECK(deft_torch_read(b, NULL, a, &c, &err) < 0 && strstr(err.text, "two entries 'x/data/0'"),
          "%s", err.text);
}

/* Sizes in the central directory are claims. */
static void check_bomb(uint32_t claim, const char *text, deft_arena *a)
{
    enum { SIZE = 400000 };
    uint8_t *noise = deft_arena_alloc(a, SIZE);
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    for (size_t i = 0; noise && i < SIZE; i++) noise[i] = (uint8_t)deft_rng_u64(&rng);
    const entry e[] = {{"x/data.pkl", BYTES(DICT(GOOD)), 0},
                       {"x/data/0", noise, SIZE, ZIP_CM_DEFLATE}};
    const deft_bytes b = make_zip(e, 2, a);
    int found = 0;
    for (size_t i = 0; i + 54 <= b.size; i++) {
        uint8_t *p = (uint8_t *)(uintptr_t)b.data + i;
        if (memcmp(p, "PK\1\2", 4) != 0 || memcmp(p + 46, "x/data/0", 8) != 0) continue;
        for (int k = 0; k < 4; k++) p[24 + k] = (uint8_t)(claim >> 8 * k);
        found++;
    }
    CHECK(found == 1, "the directory");
    deft_checkpoint *c = NULL;
    deft_error err = {0};
    CHECK(deft_torch_read(b, "bomb.pt", a, &c, &err) < 0 && strstr(err.text, text) &&
              strstr(err.text, "x/data/0"),
          "%s", err.text);
}

typedef struct bad_header {
    const char *header, *data, *text;
    int claim; // bytes more than the header has
} bad_header;

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"w\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void check_safetensors(deft_arena *a)
{
    static const bad_header cases[] = {
        {"{}", "", "no tensors", 0},
        {"{}", "", "a header of 102 bytes in a file of 10", 100},
        {ONE("F32", "[1]", "[0,4]"), "1234", "header: ", -1},
        {"{x}", "", "header: ", 0},
        {"{\"w\":1}", "", "tensor 'w': it has no element type", 0},
        {"{\"w\":1,\"w\":2}", "", "duplicate", 0},
        {ONE("F8_E4M3", "[1]", "[0,1]"), "x", "no element type", 0},
        {ONE("F32", "[1]", "[0,8]"), "12345678", "it has 8 bytes for 1 elements of 4", 0},
        {ONE("F32", "[1]", "[0,9]"), "12345678", "not inside the file", 0},
        {ONE("F32", "[1]", "[4,0]"), "12345678", "not inside the file", 0},
        {ONE("F32", "[1]", "[-4,0]"), "12345678", "not inside the file", 0},
        {ONE("F32", "[1]", "[0,4]"), "12345678", "4 bytes belong to no tensor", 0},
        {ONE("F32", "[1]", "[4,8]"), "12345678", "begins at byte 4, not 0", 0},
        {ONE("F32", "[-1]", "[0,4]"), "1234", "numbers >= 0", 0},
        {ONE("F32", "1", "[0,4]"), "1234", "no list", 0},
        {ONE("F32", "[9007199254740992,9007]", "[0,4]"), "1234", "too large", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t n = strlen(cases[i].header), m = strlen(cases[i].data);
        uint8_t *file = deft_arena_alloc(a, 8 + n + m);
        deft_checkpoint *c = NULL;
        deft_error err = {0};
        if (!file) return;
        file[0] = (uint8_t)((int)n + cases[i].claim);
        memcpy(file + 8, cases[i].header, n);
        memcpy(file + 8 + n, cases[i].data, m);
        const deft_bytes b = {file, 8 + n + m};
        CHECK(deft_format_detect(b.data, b.size) == DEFT_FORMAT_TORCH, "case %zu", i);
        CHECK(deft_torch_read(b, "flat.safetensors", a, &c, &err) < 0 && !c &&
                  strstr(err.text, cases[i].text),
              "case %zu: %s", i, err.text);
    }
}

/* --- files ----------------------------------------------------------------------------------- */

static void check_foreign(deft_arena *a)
{
    static const struct {
        const void *data;
        size_t size;
        const char *text;
    } cases[] = {
        {BYTES(""), "it is no zip archive"},
        {BYTES("hello, world"), "it is no zip archive"},
        {BYTES("PK\3\4"), "cut off or damaged"},
        {BYTES("PK\3\4 and then something else that is long enough to be a header"), "damaged"},
        {BYTES("\x80\2}q\0."), "a bare pickle"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        deft_checkpoint *c = NULL;
        deft_error err = {0};
        const deft_bytes b = {cases[i].data, cases[i].size};
        CHECK(deft_torch_read(b, "a\nb.pt", a, &c, &err) < 0 && strstr(err.text, cases[i].text) &&
                  strstr(err.text, "a\\nb.pt: "),
              "case %zu: %s", i, err.text);
    }
    deft_checkpoint *c = NULL;
    deft_error err = {0};
    CHECK(read_checkpoint("exploit", a, &c, &err) == DEFT_E_UNSUPPORTED &&
              strstr(err.text, "'posix.system'") && strstr(err.text, "nothing was executed"),
          "%s", err.text);
}

/* The format of before PyTorch 1.6: read; cut anywhere, refused; changed anywhere, one or the
 * other. */
static void check_legacy(deft_arena *a)
{
    char path[4400];
    deft_checkpoint *c = NULL;
    deft_error err = {0};
    deft_bytes b = {0};
    CHECK_OK(read_checkpoint("legacy", a, &c, &err), err);
    CHECK(c && c->n == 1 && strcmp(c->name[0], "a") == 0 && c->tensor[0].count == 2, "legacy");
    const char *file = check_source(path, sizeof path, "tests/golden/checkpoints/legacy_policy.pt");
    CHECK_OK(deft_file_read(file, 0, a, &b, &err), err);
    for (size_t size = 0; size < b.size; size += 7) {
        deft_arena *work = deft_arena_create(0);
        err = (deft_error){0};
        CHECK(deft_torch_read((deft_bytes){b.data, size}, "cut.pt", work, &c, &err) != DEFT_OK &&
                  err.text[0] && !c,
              "%zu bytes", size);
        deft_arena_destroy(work);
    }
    uint8_t *copy = deft_arena_copy(a, b.data, b.size);
    for (size_t i = 0; copy && i < b.size; i += 3) {
        deft_arena *work = deft_arena_create(0);
        err = (deft_error){0};
        copy[i] ^= (uint8_t)(1u << i % 8);
        const deft_status s =
            deft_torch_read((deft_bytes){copy, b.size}, "changed.pt", work, &c, &err);
        CHECK((s == DEFT_OK) == (c != NULL) && (s == DEFT_OK || err.text[0]), "byte %zu", i);
        copy[i] = b.data[i];
        deft_arena_destroy(work);
    }
}

static bool same(const deft_checkpoint *x, const deft_checkpoint *y)
{
    if (x->n != y->n) return false;
    for (int32_t i = 0; i < x->n; i++) {
        const deft_tensor *t = &x->tensor[i], *u = &y->tensor[i];
        if (strcmp(x->name[i], y->name[i]) != 0 || t->dtype != u->dtype || t->count != u->count ||
            memcmp(t->data, u->data, (size_t)t->count * deft_dtype_size(t->dtype)) != 0)
            return false;
    }
    return true;
}

/* Cut off anywhere: an error. One bit wrong anywhere: an error, or the same tensors. */
static void check_damage(const char *name, deft_arena *a)
{
    char relative[256], path[4400];
    deft_error err = {0};
    deft_bytes b = {0};
    (void)snprintf(relative, sizeof relative, "tests/golden/checkpoints/%s.pt", name);
    CHECK_OK(deft_file_read(check_source(path, sizeof path, relative), 0, a, &b, &err), err);
    uint8_t *copy = deft_arena_copy(a, b.data, b.size);
    deft_checkpoint *whole = NULL;
    CHECK_OK(deft_torch_read(b, NULL, a, &whole, &err), err);
    int refused = 0, n = 0;
    for (size_t i = 0; copy && whole && i < b.size; i += 7) {
        deft_arena *t = deft_arena_create((size_t)64 << 20);
        deft_checkpoint *c = NULL;
        err = (deft_error){0};
        CHECK(deft_torch_read((deft_bytes){copy, i}, "cut.pt", t, &c, &err) < 0 && err.text[0],
              "%zu bytes of %zu", i, b.size);
        copy[i] = (uint8_t)(copy[i] ^ 1 << i % 8);
        err = (deft_error){0};
        const deft_status s = deft_torch_read((deft_bytes){copy, b.size}, "bad.pt", t, &c, &err);
        CHECK(s == DEFT_OK ? c && same(c, whole) : !c && err.text[0], "a bit in byte %zu", i);
        refused += s != DEFT_OK;
        n++;
        copy[i] = b.data[i];
        deft_arena_destroy(t);
    }
    CHECK(refused > n / 5, "%d of %d", refused, n); // the rest is padding, times and code
}

/* Nothing guards the bits of this format, but a length is missed at once. */
static void check_cut(const char *name, deft_arena *a)
{
    char relative[256], path[4400];
    deft_error err = {0};
    deft_bytes b = {0};
    (void)snprintf(relative, sizeof relative, "tests/golden/checkpoints/%s.pt", name);
    CHECK_OK(deft_file_read(check_source(path, sizeof path, relative), 0, a, &b, &err), err);
    for (size_t i = 0; i < b.size; i += 11) {
        deft_arena *t = deft_arena_create((size_t)64 << 20);
        deft_checkpoint *c = NULL;
        err = (deft_error){0};
        CHECK(deft_torch_read((deft_bytes){b.data, i}, "cut", t, &c, &err) < 0 && err.text[0],
              "%zu bytes of %zu", i, b.size);
        deft_arena_destroy(t);
    }
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    check_integers(a);
    check_names(a);
    check_good(a);
    check_bad(a);
    check_expansion(a);
    check_archives(a);
    check_bomb(0x7FFFFFFF, "claimed to come from", a);
    check_bomb(350000000, "more than a checkpoint may take", a);
    check_safetensors(a);
    check_foreign(a);
    check_legacy(a);
    check_damage("mlp_state_dict", a);
    check_damage("script_scripted", a);
    check_cut("sac_safetensors", a);
    deft_arena_destroy(a);
    return check_report();
}
