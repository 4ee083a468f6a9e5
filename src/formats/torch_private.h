/* torch_private.h - private: what the files of the PyTorch reader share.
 *
 * A checkpoint is a zip archive with a pickle, data.pkl, that describes objects and refers to
 * storages, and one entry of raw bytes for each storage. The pickle is interpreted by a machine of
 * our own that can only build values: nothing is imported and nothing is called. */
#ifndef DEFT_FORMATS_TORCH_PRIVATE_H
#define DEFT_FORMATS_TORCH_PRIVATE_H

#include "deft/formats.h"

/* Element types of storages. */
typedef enum torch_type {
    TORCH_NONE = 0,
    TORCH_FLOAT,
    TORCH_DOUBLE,
    TORCH_HALF,
    TORCH_BFLOAT16,
    TORCH_LONG,
    TORCH_INT,
    TORCH_SHORT,
    TORCH_CHAR,
    TORCH_BYTE,
    TORCH_BOOL,
    TORCH_UNTYPED, // bytes; the tensor says of what type
} torch_type;

size_t torch_type_size(torch_type t); // bytes; 1 for UNTYPED

typedef struct torch_storage {
    const char *key; // the name of its entry
    torch_type type;
    int64_t count; // elements, >= 0
} torch_storage;

/* A tensor as the pickle describes it; not yet compared with the storage's bytes. */
typedef struct torch_view {
    const torch_storage *storage;
    torch_type type;
    int32_t rank;
    int64_t offset, size[DEFT_MAX_RANK], stride[DEFT_MAX_RANK]; // elements, >= 0
} torch_view;

typedef enum pickle_kind {
    PICKLE_NONE = 0,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_BYTES,
    PICKLE_TUPLE,
    PICKLE_LIST, // sets too
    PICKLE_DICT,
    PICKLE_GLOBAL, // the name of a class or function
    PICKLE_OBJECT, // an instance of a class, of which only the attributes matter
    PICKLE_STORAGE,
    PICKLE_TENSOR,
    PICKLE_OPAQUE, // something that holds no tensors for us
    PICKLE_DTYPE,  // NumPy's
    PICKLE_ARRAY,
} pickle_kind;

/* An element type of NumPy. kind 0: one that is not read. */
typedef struct pickle_dtype {
    char kind; // 'f', 'i', 'u', 'b'
    uint8_t size;
    bool big_endian;
} pickle_dtype;

/* An array of NumPy, or a scalar (rank 0). */
typedef struct pickle_array {
    pickle_dtype type;
    int32_t rank;
    int64_t dim[DEFT_MAX_RANK], count;
    const uint8_t *data; // count elements, row by row, inside the pickle; NULL: not read
} pickle_array;

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_kind kind;
    union {
        int64_t i;
        double f;
        struct {
            const char *s; // TEXT, BYTES: inside the pickle; GLOBAL: "module.name" with its NUL
            size_t n;
        } text;
        struct {
            pickle_value **item; // DICT: key, value, key, value, ...
            size_t n, room;
        } list;
        struct {
            const pickle_value *type; // GLOBAL
            pickle_value *state;      // NULL until it is set
        } object;
        const torch_storage *storage;
        const torch_view *view;
        pickle_dtype dtype;
        pickle_array *array;
    } as;
};

/* Runs the machine. The value, its parts and pointers into `pickle` live as long as both. Errors
 * name the byte and the opcode. */
deft_status pickle_load(deft_bytes pickle, deft_arena *a, pickle_value **out, deft_error *err);
/* The same for a pickle that something follows: *used is its size, `storages` (a list, may be
 * NULL) gets every storage that it names. */
deft_status pickle_load_first(deft_bytes pickle, deft_arena *a, pickle_value **out, size_t *used,
                              pickle_value *storages, deft_error *err);
const char *pickle_kind_name(pickle_kind k);
pickle_value *pickle_new(deft_arena *a, pickle_kind kind); // NULL: no memory
bool pickle_push(deft_arena *a, pickle_value *list, pickle_value *item);
bool pickle_is_text(const pickle_value *v, const char *text);

/* The value of calling `function` with the tuple `args`, for the few that are known. */
deft_status pickle_call(const pickle_value *function, pickle_value *args, deft_arena *a,
                        pickle_value **out, deft_error *err);
/* An instance of a class: known containers, or an object without behaviour. */
pickle_value *pickle_instance(const pickle_value *type, deft_arena *a);
/* What NumPy's functions give: dtype, _reconstruct, _frombuffer, scalar. NULL: no memory. */
pickle_value *pickle_numpy_dtype(const pickle_value *args, deft_arena *a);
pickle_value *pickle_numpy_array(deft_arena *a); // still empty
pickle_value *pickle_numpy_from_buffer(const pickle_value *args, deft_arena *a);
pickle_value *pickle_numpy_scalar(const pickle_value *args, deft_arena *a);
/* The state of a dtype or an array; one that is not as NumPy writes it leaves it unread. */
void pickle_numpy_build(pickle_value *v, const pickle_value *state);

/* An entry of a dict or an attribute of an object, NULL where there is none. */
const pickle_value *pickle_entry(const pickle_value *v, const char *key);
/* Is v an instance of a class of this name, whatever its module is? */
bool pickle_is_a(const pickle_value *v, const char *class_name);
/* A number or an element of an array that was read; false for anything else. */
bool pickle_number(const pickle_value *v, int64_t i, double *out);
/* How many numbers there are: of an array, a list or tuple of numbers, 1 for a number; else -1. */
int64_t pickle_count(const pickle_value *v);

/* The storage that a persistent id means. */
deft_status pickle_persistent(const pickle_value *id, deft_arena *a, pickle_value **out,
                              deft_error *err);

/* Tensors and modules found below a value, by name. */
typedef struct torch_found {
    const char **name;
    const torch_view **view;
    size_t n, room;
    const char **module, **type;
    size_t n_module, room_module;
} torch_found;
/* constants: the values are those of constants.pkl, which TorchScript calls CONSTANTS.c0... */
deft_status torch_collect(pickle_value *root, bool constants, deft_arena *a, torch_found *found,
                          deft_error *err);

/* How many elements torch_gather would give, and whether they are in the storage. */
deft_status torch_view_check(const torch_view *v, deft_bytes storage, int64_t *count,
                             deft_error *err);
/* The elements of a view, dense and in native byte order; floating types become float32. */
deft_status torch_gather(const torch_view *v, deft_bytes storage, bool big_endian, deft_arena *a,
                         deft_tensor *out, deft_error *err);

/* .safetensors files, which hold the same without a pickle. */
bool safetensors_looks_like(deft_bytes b);
/* Fills in names and tensors. */
deft_status safetensors_read(deft_bytes bytes, deft_arena *a, deft_checkpoint *c, deft_error *err);

/* What PyTorch wrote before 1.6: five pickles in a row, then the storages. */
typedef struct torch_legacy torch_legacy;
bool torch_legacy_looks_like(deft_bytes b);
/* *root: what was saved. */
deft_status torch_legacy_open(deft_bytes bytes, deft_arena *a, torch_legacy **out,
                              pickle_value **root, deft_error *err);
bool torch_legacy_big_endian(const torch_legacy *l);
deft_status torch_legacy_storage(const torch_legacy *l, const char *key, deft_bytes *out,
                                 deft_error *err);

/* A zip archive in memory. */
typedef struct torch_zip torch_zip;
deft_status torch_zip_open(deft_bytes bytes, deft_arena *work, torch_zip **out, deft_error *err);
void torch_zip_close(torch_zip *z); // NULL is fine
size_t torch_zip_count(const torch_zip *z);
const char *torch_zip_name(const torch_zip *z, size_t i); // sorted
bool torch_zip_has(const torch_zip *z, const char *name);
/* What an archive without a data.pkl is, for people; false: nothing that is known. */
bool torch_zip_explain(const torch_zip *z, char *text, size_t n);
/* An entry's bytes, in the work arena; its CRC is checked. */
deft_status torch_zip_read(torch_zip *z, const char *name, deft_bytes *out, deft_error *err);

/* A storage that is in memory already; several tensors may share it. */
typedef struct torch_loaded {
    const char *entry;
    deft_bytes bytes;
} torch_loaded;

/* The archive of torch.save and torch.jit.save, and what has been read of it. */
typedef struct torch_archive {
    torch_zip *zip;
    deft_arena *a;
    const char *root;   // its folder: "actor/"
    const char *folder; // where data.pkl lies: the root, or a folder below it in a package
    bool big_endian;
    torch_loaded *loaded; // [n_loaded], room for as many as there are tensors
    size_t n_loaded;
    deft_error *err;
} torch_archive;

deft_status torch_archive_byteorder(torch_archive *r);
/* *out: the value of a pickle of the folder; NULL: there is none of this name. */
deft_status torch_archive_pickle(torch_archive *r, const char *file, pickle_value **out);
/* *out: the bytes of a storage that data.pkl (constants: constants.pkl) names. */
deft_status torch_archive_storage(torch_archive *r, const torch_storage *st, bool constants,
                                  deft_bytes *out);

#endif
