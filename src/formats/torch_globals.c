/* torch_globals.c - what the globals of a pickle mean. A function that is not in the list below
 * cannot be called, and those that are in it are not called either: what they would give is built
 * here. Classes become objects without behaviour. */
#include "formats/torch_private.h"

#include <string.h>

typedef enum meaning {
    MEANS_NOTHING = 0, // not known
    MEANS_TENSOR,      // storage, offset, size, stride, ...
    MEANS_TENSOR_V3,   // the same, and a dtype in place 6
    MEANS_FIRST,       // its first argument
    MEANS_FROM_TYPE,   // function, type, args, state: a tensor subclass
    MEANS_DICT,
    MEANS_LIST,
    MEANS_OBJECT, // class, ...
    MEANS_OPAQUE, // a value that holds no tensors
    MEANS_STORAGE,
    MEANS_DTYPE,
    MEANS_NUMPY_DTYPE,
    MEANS_NUMPY_ARRAY,
    MEANS_NUMPY_BUFFER,
    MEANS_NUMPY_SCALAR,
} meaning;

typedef struct known_global {
    const char *name; // ends with '.': everything that begins so
    meaning means;
    torch_type type;
} known_global;

static const known_global known[] = {
    {"torch._utils._rebuild_tensor_v2", MEANS_TENSOR, TORCH_NONE},
    {"torch._utils._rebuild_tensor_v3", MEANS_TENSOR_V3, TORCH_NONE},
    {"torch._utils._rebuild_tensor", MEANS_TENSOR, TORCH_NONE},
    {"torch._utils._rebuild_parameter", MEANS_FIRST, TORCH_NONE},
    {"torch._utils._rebuild_parameter_with_state", MEANS_FIRST, TORCH_NONE},
    {"torch._tensor._rebuild_from_type_v2", MEANS_FROM_TYPE, TORCH_NONE},
    {"torch.nn.parameter.Parameter", MEANS_FIRST, TORCH_NONE},
    {"torch.nn.parameter.Buffer", MEANS_FIRST, TORCH_NONE},
    {"torch.jit._pickle.build_intlist", MEANS_FIRST, TORCH_NONE},
    {"torch.jit._pickle.build_doublelist", MEANS_FIRST, TORCH_NONE},
    {"torch.jit._pickle.build_boollist", MEANS_FIRST, TORCH_NONE},
    {"torch.jit._pickle.build_tensorlist", MEANS_FIRST, TORCH_NONE},
    {"torch.jit._pickle.restore_type_tag", MEANS_FIRST, TORCH_NONE},
    {"torch.Size", MEANS_FIRST, TORCH_NONE},
    {"torch.device", MEANS_OPAQUE, TORCH_NONE},
    {"torch.serialization._get_layout", MEANS_OPAQUE, TORCH_NONE},
    {"collections.OrderedDict", MEANS_DICT, TORCH_NONE},
    {"collections.defaultdict", MEANS_DICT, TORCH_NONE},
    {"collections.Counter", MEANS_DICT, TORCH_NONE},
    {"builtins.dict", MEANS_DICT, TORCH_NONE},
    {"__builtin__.dict", MEANS_DICT, TORCH_NONE},
    {"collections.deque", MEANS_LIST, TORCH_NONE},
    {"builtins.list", MEANS_LIST, TORCH_NONE},
    {"builtins.set", MEANS_LIST, TORCH_NONE},
    {"builtins.frozenset", MEANS_LIST, TORCH_NONE},
    {"__builtin__.list", MEANS_LIST, TORCH_NONE},
    {"__builtin__.set", MEANS_LIST, TORCH_NONE},
    {"__builtin__.frozenset", MEANS_LIST, TORCH_NONE},
    {"copyreg._reconstructor", MEANS_OBJECT, TORCH_NONE},
    {"copy_reg._reconstructor", MEANS_OBJECT, TORCH_NONE},
    {"_codecs.encode", MEANS_OPAQUE, TORCH_NONE},
    {"builtins.complex", MEANS_OPAQUE, TORCH_NONE},
    {"builtins.slice", MEANS_OPAQUE, TORCH_NONE},
    {"builtins.range", MEANS_OPAQUE, TORCH_NONE},
    {"builtins.bytearray", MEANS_OPAQUE, TORCH_NONE},
    {"numpy.dtype", MEANS_NUMPY_DTYPE, TORCH_NONE},
    {"numpy.core.multiarray._reconstruct", MEANS_NUMPY_ARRAY, TORCH_NONE},
    {"numpy._core.multiarray._reconstruct", MEANS_NUMPY_ARRAY, TORCH_NONE},
    {"numpy.core.numeric._frombuffer", MEANS_NUMPY_BUFFER, TORCH_NONE},
    {"numpy._core.numeric._frombuffer", MEANS_NUMPY_BUFFER, TORCH_NONE},
    {"numpy.core.multiarray.scalar", MEANS_NUMPY_SCALAR, TORCH_NONE},
    {"numpy._core.multiarray.scalar", MEANS_NUMPY_SCALAR, TORCH_NONE},
    {"numpy.", MEANS_OPAQUE, TORCH_NONE},
    {"gym.utils.", MEANS_OPAQUE, TORCH_NONE},
    {"gymnasium.utils.", MEANS_OPAQUE, TORCH_NONE},
    {"gym.spaces.", MEANS_OPAQUE, TORCH_NONE},
    {"gymnasium.spaces.", MEANS_OPAQUE, TORCH_NONE},
    {"datetime.", MEANS_OPAQUE, TORCH_NONE},
    {"pathlib.", MEANS_OPAQUE, TORCH_NONE},
    {"torch.FloatStorage", MEANS_STORAGE, TORCH_FLOAT},
    {"torch.DoubleStorage", MEANS_STORAGE, TORCH_DOUBLE},
    {"torch.HalfStorage", MEANS_STORAGE, TORCH_HALF},
    {"torch.BFloat16Storage", MEANS_STORAGE, TORCH_BFLOAT16},
    {"torch.LongStorage", MEANS_STORAGE, TORCH_LONG},
    {"torch.IntStorage", MEANS_STORAGE, TORCH_INT},
    {"torch.ShortStorage", MEANS_STORAGE, TORCH_SHORT},
    {"torch.CharStorage", MEANS_STORAGE, TORCH_CHAR},
    {"torch.ByteStorage", MEANS_STORAGE, TORCH_BYTE},
    {"torch.BoolStorage", MEANS_STORAGE, TORCH_BOOL},
    {"torch.storage.UntypedStorage", MEANS_STORAGE, TORCH_UNTYPED},
    {"torch.float32", MEANS_DTYPE, TORCH_FLOAT},
    {"torch.float64", MEANS_DTYPE, TORCH_DOUBLE},
    {"torch.float16", MEANS_DTYPE, TORCH_HALF},
    {"torch.bfloat16", MEANS_DTYPE, TORCH_BFLOAT16},
    {"torch.int64", MEANS_DTYPE, TORCH_LONG},
    {"torch.int32", MEANS_DTYPE, TORCH_INT},
    {"torch.int16", MEANS_DTYPE, TORCH_SHORT},
    {"torch.int8", MEANS_DTYPE, TORCH_CHAR},
    {"torch.uint8", MEANS_DTYPE, TORCH_BYTE},
    {"torch.bool", MEANS_DTYPE, TORCH_BOOL},
};

static const known_global *lookup(const pickle_value *global)
{
    static const known_global unknown = {"", MEANS_NOTHING, TORCH_NONE};
    if (global->kind != PICKLE_GLOBAL) return &unknown;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const size_t n = strlen(known[i].name);
        const bool prefix = known[i].name[n - 1] == '.';
        if (prefix ? strncmp(global->as.text.s, known[i].name, n) == 0
                   : strcmp(global->as.text.s, known[i].name) == 0)
            return &known[i];
    }
    return &unknown;
}

size_t torch_type_size(torch_type t)
{
    static const uint8_t size[] = {0, 4, 8, 2, 2, 8, 4, 2, 1, 1, 1, 1};
    return t >= TORCH_NONE && t <= TORCH_UNTYPED ? size[t] : 0;
}

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "more memory than a checkpoint may take");
}

static bool is_sequence(const pickle_value *v)
{
    return v->kind == PICKLE_TUPLE || v->kind == PICKLE_LIST;
}

/* Numbers >= 0 of a shape or of strides. */
static bool numbers(const pickle_value *v, int64_t *out, size_t *n)
{
    if (!is_sequence(v) || v->as.list.n > DEFT_MAX_RANK) return false;
    *n = v->as.list.n;
    for (size_t i = 0; i < *n; i++) {
        const pickle_value *item = v->as.list.item[i];
        if (item->kind != PICKLE_INT || item->as.i < 0) return false;
        out[i] = item->as.i;
    }
    return true;
}

static deft_status tensor_of(const pickle_value *args, bool v3, deft_arena *a, pickle_value **out,
                             deft_error *err)
{
    pickle_value *const *arg = args->as.list.item;
    if (args->as.list.n < (v3 ? 7u : 4u) || arg[0]->kind != PICKLE_STORAGE ||
        arg[1]->kind != PICKLE_INT || arg[1]->as.i < 0)
        return deft_fail(err, DEFT_E_FORMAT, "a tensor needs a storage, an offset and a shape");
    torch_view *v = DEFT_NEW(a, torch_view);
    pickle_value *tensor = pickle_new(a, PICKLE_TENSOR);
    if (!v || !tensor) return no_memory(err);
    size_t rank = 0, strides = 0;
    v->storage = arg[0]->as.storage;
    v->type = v->storage->type;
    v->offset = arg[1]->as.i;
    if (!numbers(arg[2], v->size, &rank) || !numbers(arg[3], v->stride, &strides) ||
        rank != strides)
        return deft_fail(err, DEFT_E_FORMAT,
                         "a shape and its strides are up to %d numbers >= 0 each", DEFT_MAX_RANK);
    v->rank = (int32_t)rank;
    if (v3) {
        const known_global *dtype = lookup(arg[6]);
        v->type = dtype->means == MEANS_DTYPE ? dtype->type : TORCH_NONE;
    }
    if (v->type == TORCH_NONE || v->type == TORCH_UNTYPED)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "a tensor of an element type that is not read");
    tensor->as.view = v;
    *out = tensor;
    return DEFT_OK;
}

/* OrderedDict([[key, value], ...]), as Python 2 wrote it; other arguments add nothing. */
static pickle_value *dict_of(const pickle_value *args, deft_arena *a)
{
    pickle_value *dict = pickle_new(a, PICKLE_DICT);
    const pickle_value *pairs = args->as.list.n ? args->as.list.item[0] : NULL;
    for (size_t i = 0; dict && pairs && is_sequence(pairs) && i < pairs->as.list.n; i++) {
        const pickle_value *pair = pairs->as.list.item[i];
        if (!is_sequence(pair) || pair->as.list.n != 2) continue;
        if (!pickle_push(a, dict, pair->as.list.item[0]) ||
            !pickle_push(a, dict, pair->as.list.item[1]))
            return NULL;
    }
    return dict;
}

static deft_status refuse(const pickle_value *function, deft_error *err)
{
    char name[200];
    if (function->kind != PICKLE_GLOBAL)
        return deft_fail(err, DEFT_E_FORMAT, "a call of %s", pickle_kind_name(function->kind));
    return deft_fail(err, DEFT_E_UNSUPPORTED,
                     "a call of '%s', which is not on the list of what a checkpoint may contain "
                     "(nothing was executed); save the state_dict alone",
                     deft_escape(name, sizeof name, function->as.text.s, function->as.text.n));
}

deft_status pickle_call(const pickle_value *function, pickle_value *args, deft_arena *a,
                        pickle_value **out, deft_error *err)
{
    meaning means = lookup(function)->means;
    if (args->kind != PICKLE_TUPLE)
        return deft_fail(err, DEFT_E_FORMAT, "a call with %s", pickle_kind_name(args->kind));
    if (means == MEANS_FROM_TYPE) { // of one function, which is called on its own arguments
        if (args->as.list.n < 3 || args->as.list.item[2]->kind != PICKLE_TUPLE)
            return deft_fail(err, DEFT_E_FORMAT, "a tensor subclass without its arguments");
        function = args->as.list.item[0];
        args = args->as.list.item[2];
        means = lookup(function)->means;
    }
    const size_t n = args->as.list.n;
    *out = NULL;
    switch (means) {
    case MEANS_TENSOR:
    case MEANS_TENSOR_V3:
        return tensor_of(args, means == MEANS_TENSOR_V3, a, out, err);
    case MEANS_FIRST:
        *out = n ? args->as.list.item[0] : pickle_new(a, PICKLE_TUPLE); // torch.Size()
        break;
    case MEANS_DICT:
        *out = dict_of(args, a);
        break;
    case MEANS_LIST:
        *out = n && is_sequence(args->as.list.item[0]) ? args->as.list.item[0]
                                                       : pickle_new(a, PICKLE_LIST);
        break;
    case MEANS_OBJECT:
        if (!n || args->as.list.item[0]->kind != PICKLE_GLOBAL)
            return deft_fail(err, DEFT_E_FORMAT, "an object without a class");
        *out = pickle_instance(args->as.list.item[0], a);
        break;
    case MEANS_OPAQUE:
        *out = pickle_new(a, PICKLE_OPAQUE);
        break;
    case MEANS_NUMPY_DTYPE:
        *out = pickle_numpy_dtype(args, a);
        break;
    case MEANS_NUMPY_ARRAY:
        *out = pickle_numpy_array(a);
        break;
    case MEANS_NUMPY_BUFFER:
        *out = pickle_numpy_from_buffer(args, a);
        break;
    case MEANS_NUMPY_SCALAR:
        *out = pickle_numpy_scalar(args, a);
        break;
    default:
        return refuse(function, err);
    }
    return *out ? DEFT_OK : no_memory(err);
}

pickle_value *pickle_instance(const pickle_value *type, deft_arena *a)
{
    const meaning means = lookup(type)->means;
    if (means == MEANS_DICT) return pickle_new(a, PICKLE_DICT);
    if (means == MEANS_LIST) return pickle_new(a, PICKLE_LIST);
    pickle_value *v = pickle_new(a, PICKLE_OBJECT);
    if (v) v->as.object.type = type;
    return v;
}

deft_status pickle_persistent(const pickle_value *id, deft_arena *a, pickle_value **out,
                              deft_error *err)
{
    if (id->kind == PICKLE_TUPLE && id->as.list.n >= 2 &&
        pickle_is_text(id->as.list.item[0], "module")) { // before 1.6: a class and its source
        *out = id->as.list.item[1];
        return DEFT_OK;
    }
    if (id->kind != PICKLE_TUPLE || id->as.list.n < 5 ||
        !pickle_is_text(id->as.list.item[0], "storage"))
        return deft_fail(err, DEFT_E_UNSUPPORTED, "a persistent id that is no storage");
    pickle_value *const *part = id->as.list.item;
    if (part[2]->kind != PICKLE_TEXT || part[4]->kind != PICKLE_INT || part[4]->as.i < 0 ||
        !part[2]->as.text.n || part[2]->as.text.n > 256 ||
        memchr(part[2]->as.text.s, 0, part[2]->as.text.n))
        return deft_fail(err, DEFT_E_FORMAT, "a storage needs a key and a number of elements");
    const known_global *type = lookup(part[1]);
    if (type->means != MEANS_STORAGE) {
        char name[160] = "?";
        if (part[1]->kind == PICKLE_GLOBAL)
            (void)deft_escape(name, sizeof name, part[1]->as.text.s, part[1]->as.text.n);
        return deft_fail(err, DEFT_E_UNSUPPORTED, "storages of type '%s' are not read", name);
    }
    if (id->as.list.n > 5 && part[5]->kind != PICKLE_NONE)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "a storage that is a view of another one");
    torch_storage *s = DEFT_NEW(a, torch_storage);
    pickle_value *v = pickle_new(a, PICKLE_STORAGE);
    if (s) s->key = deft_arena_strndup(a, part[2]->as.text.s, part[2]->as.text.n);
    if (!s || !s->key || !v) return no_memory(err);
    s->type = type->type;
    s->count = part[4]->as.i;
    v->as.storage = s;
    *out = v;
    return DEFT_OK;
}
