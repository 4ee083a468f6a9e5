/* torch_pickle.c - the pickle machine: a stack, marks and a memo, and the opcodes that PyTorch
 * writes. It builds values and can do nothing else. Every opcode adds at most one element to the
 * stack, the memo or a container, so that memory is bounded by a multiple of the pickle's size. */
#include "formats/torch_private.h"

#include <string.h>

enum { MAX_PICKLE = 64 << 20, MAX_PROTOCOL = 5 };

typedef struct machine {
    const uint8_t *p;
    size_t size, at;
    uint8_t op;
    bool stopped;
    pickle_value stack; // a list
    size_t *mark;       // heights of the stack
    size_t n_mark, room_mark;
    pickle_value **memo;
    size_t n_memo, room_memo; // n_memo: stored so far, for MEMOIZE
    pickle_value *storages;   // a list of those that were named, or NULL
    deft_arena *a;
    deft_error *err;
} machine;

typedef deft_status (*operation)(machine *m);

static deft_status bad(machine *m, const char *why)
{
    return deft_fail(m->err, DEFT_E_FORMAT, "%s", why);
}

static deft_status no_memory(machine *m)
{
    return deft_fail(m->err, DEFT_E_SPACE, "more memory than a checkpoint may take");
}

const char *pickle_kind_name(pickle_kind k)
{
    static const char *const name[] = {"None",     "a bool",          "an integer", "a float",
                                       "a string", "bytes",           "a tuple",    "a list",
                                       "a dict",   "a global",        "an object",  "a storage",
                                       "a tensor", "an opaque value", "a dtype",    "an array"};
    return k >= PICKLE_NONE && k <= PICKLE_ARRAY ? name[k] : "?";
}

pickle_value *pickle_new(deft_arena *a, pickle_kind kind)
{
    pickle_value *v = DEFT_NEW(a, pickle_value);
    if (v) v->kind = kind;
    return v;
}

bool pickle_push(deft_arena *a, pickle_value *list, pickle_value *item)
{
    if (list->as.list.n == list->as.list.room) {
        const size_t room = list->as.list.room ? 2 * list->as.list.room : 4;
        pickle_value **more = DEFT_NEW_ARRAY(a, pickle_value *, room);
        if (!more) return false;
        for (size_t i = 0; i < list->as.list.n; i++) more[i] = list->as.list.item[i];
        list->as.list.item = more;
        list->as.list.room = room;
    }
    list->as.list.item[list->as.list.n++] = item;
    return true;
}

bool pickle_is_text(const pickle_value *v, const char *text)
{
    const size_t n = strlen(text);
    return v->kind == PICKLE_TEXT && v->as.text.n == n && memcmp(v->as.text.s, text, n) == 0;
}

/* --- stack and stream ------------------------------------------------------------------------ */

static deft_status push(machine *m, pickle_value *v)
{
    return v && pickle_push(m->a, &m->stack, v) ? DEFT_OK : no_memory(m);
}

/* Elements above the last mark. */
static size_t above_mark(const machine *m)
{
    return m->stack.as.list.n - (m->n_mark ? m->mark[m->n_mark - 1] : 0);
}

static pickle_value *pop(machine *m)
{
    if (above_mark(m) == 0) {
        (void)bad(m, "takes from an empty stack");
        return NULL;
    }
    return m->stack.as.list.item[--m->stack.as.list.n];
}

static pickle_value *top(machine *m)
{
    if (above_mark(m)) return m->stack.as.list.item[m->stack.as.list.n - 1];
    (void)bad(m, "looks at an empty stack");
    return NULL;
}

/* Takes what is above the last mark, and the mark; *items is valid until the next push. */
static deft_status pop_mark(machine *m, pickle_value ***items, size_t *n)
{
    if (!m->n_mark) return bad(m, "there is no mark");
    *n = above_mark(m);
    m->stack.as.list.n = m->mark[--m->n_mark];
    *items = m->stack.as.list.item + m->stack.as.list.n;
    return DEFT_OK;
}

/* A little-endian number of n <= 8 bytes. */
static deft_status number(machine *m, size_t n, uint64_t *v)
{
    if (n > m->size - m->at) return bad(m, "the pickle ends inside an argument");
    *v = 0;
    for (size_t k = 0; k < n; k++) *v |= (uint64_t)m->p[m->at + k] << (8 * k);
    m->at += n;
    return DEFT_OK;
}

/* Bytes behind a length of n bytes. */
static deft_status counted(machine *m, size_t n, const char **s, size_t *length)
{
    uint64_t v = 0;
    const deft_status status = number(m, n, &v);
    if (status != DEFT_OK) return status;
    if (v > m->size - m->at) return bad(m, "a length reaches behind the end of the pickle");
    *s = (const char *)m->p + m->at;
    *length = (size_t)v;
    m->at += (size_t)v;
    return DEFT_OK;
}

/* --- scalars --------------------------------------------------------------------------------- */

static deft_status op_protocol(machine *m)
{
    uint64_t v = 0;
    const deft_status s = number(m, 1, &v);
    if (s != DEFT_OK) return s;
    if (v > MAX_PROTOCOL)
        return deft_fail(m->err, DEFT_E_UNSUPPORTED, "protocol %u: at most %d is read", (unsigned)v,
                         MAX_PROTOCOL);
    return DEFT_OK;
}

static deft_status op_frame(machine *m)
{
    uint64_t v = 0;
    const deft_status s = number(m, 8, &v);
    if (s != DEFT_OK) return s;
    return v <= m->size - m->at ? DEFT_OK : bad(m, "a frame reaches behind the end of the pickle");
}

static deft_status op_none(machine *m)
{
    return push(m, pickle_new(m->a, PICKLE_NONE));
}

static deft_status push_int(machine *m, pickle_kind kind, int64_t i)
{
    pickle_value *v = pickle_new(m->a, kind);
    if (v) v->as.i = i;
    return push(m, v);
}

static deft_status op_bool(machine *m)
{
    return push_int(m, PICKLE_BOOL, m->op == 0x88);
}

static deft_status op_int(machine *m)
{
    uint64_t v = 0;
    const deft_status s = number(m, m->op == 'K' ? 1 : m->op == 'M' ? 2 : 4, &v);
    if (s != DEFT_OK) return s;
    return push_int(m, PICKLE_INT, m->op == 'J' ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v);
}

/* LONG1, LONG4: two's complement of any length. */
static deft_status op_long(machine *m)
{
    const char *bytes = NULL;
    size_t n = 0;
    const deft_status s = counted(m, m->op == 0x8A ? 1 : 4, &bytes, &n);
    if (s != DEFT_OK) return s;
    if (n > 8) return push(m, pickle_new(m->a, PICKLE_OPAQUE)); // states of random generators
    uint64_t v = 0;
    for (size_t k = 0; k < n; k++) v |= (uint64_t)(uint8_t)bytes[k] << (8 * k);
    if (n && n < 8 && (uint8_t)bytes[n - 1] & 0x80) v |= UINT64_MAX << (8 * n);
    int64_t i = 0;
    memcpy(&i, &v, sizeof i);
    return push_int(m, PICKLE_INT, i);
}

static deft_status op_float(machine *m)
{
    if (m->size - m->at < 8) return bad(m, "the pickle ends inside an argument");
    uint64_t bits = 0; // big-endian, as the only number of the format
    for (size_t k = 0; k < 8; k++) bits = bits << 8 | m->p[m->at + k];
    m->at += 8;
    pickle_value *v = pickle_new(m->a, PICKLE_FLOAT);
    if (v) memcpy(&v->as.f, &bits, sizeof v->as.f);
    return push(m, v);
}

static deft_status push_text(machine *m, pickle_kind kind, size_t length_size)
{
    const char *text = NULL;
    size_t n = 0;
    const deft_status s = counted(m, length_size, &text, &n);
    if (s != DEFT_OK) return s;
    pickle_value *v = pickle_new(m->a, kind);
    if (v) {
        v->as.text.s = text;
        v->as.text.n = n;
    }
    return push(m, v);
}

static deft_status op_text(machine *m) // strings of Python 2 are text to us
{
    return push_text(m, PICKLE_TEXT, m->op == 0x8D ? 8 : m->op == 0x8C || m->op == 'U' ? 1 : 4);
}

static deft_status op_bytes(machine *m)
{
    return push_text(m, PICKLE_BYTES, m->op == 'C' ? 1 : m->op == 'B' ? 4 : 8);
}

/* --- containers ------------------------------------------------------------------------------ */

static deft_status op_mark(machine *m)
{
    if (m->n_mark == m->room_mark) {
        const size_t room = m->room_mark ? 2 * m->room_mark : 16;
        size_t *more = DEFT_NEW_ARRAY(m->a, size_t, room);
        if (!more) return no_memory(m);
        if (m->n_mark) memcpy(more, m->mark, m->n_mark * sizeof *more);
        m->mark = more;
        m->room_mark = room;
    }
    m->mark[m->n_mark++] = m->stack.as.list.n;
    return DEFT_OK;
}

static deft_status op_pop(machine *m)
{
    if (above_mark(m) == 0 && m->n_mark) {
        m->n_mark--; // the mark was on top
        return DEFT_OK;
    }
    return pop(m) ? DEFT_OK : DEFT_E_FORMAT;
}

static deft_status op_pop_mark(machine *m)
{
    pickle_value **items = NULL;
    size_t n = 0;
    return pop_mark(m, &items, &n);
}

static deft_status op_dup(machine *m)
{
    pickle_value *v = top(m);
    return v ? push(m, v) : DEFT_E_FORMAT;
}

static deft_status op_empty(machine *m)
{
    return push(m, pickle_new(m->a, m->op == ')'   ? PICKLE_TUPLE
                                    : m->op == '}' ? PICKLE_DICT
                                                   : PICKLE_LIST));
}

static deft_status push_copy(machine *m, pickle_kind kind, pickle_value **items, size_t n)
{
    pickle_value *v = pickle_new(m->a, kind);
    pickle_value **copy = DEFT_NEW_ARRAY(m->a, pickle_value *, n);
    if (!v || !copy) return no_memory(m);
    for (size_t i = 0; i < n; i++) copy[i] = items[i];
    v->as.list.item = copy;
    v->as.list.n = v->as.list.room = n;
    return push(m, v);
}

/* TUPLE, LIST, DICT, FROZENSET: of what is above the mark. */
static deft_status op_collect(machine *m)
{
    pickle_value **items = NULL;
    size_t n = 0;
    const deft_status s = pop_mark(m, &items, &n);
    if (s != DEFT_OK) return s;
    if (m->op == 'd' && n % 2) return bad(m, "a key has no value");
    return push_copy(m,
                     m->op == 't'   ? PICKLE_TUPLE
                     : m->op == 'd' ? PICKLE_DICT
                                    : PICKLE_LIST,
                     items, n);
}

static deft_status op_tuple_n(machine *m)
{
    const size_t n = (size_t)m->op - 0x84;
    if (above_mark(m) < n) return bad(m, "takes from an empty stack");
    m->stack.as.list.n -= n;
    return push_copy(m, PICKLE_TUPLE, m->stack.as.list.item + m->stack.as.list.n, n);
}

/* The dict or list that items go to, NULL where what they go to keeps none. */
static deft_status target_of(machine *m, pickle_value *v, pickle_kind kind, pickle_value **to)
{
    *to = NULL;
    if (v->kind == PICKLE_OPAQUE) return DEFT_OK;
    if (v->kind == PICKLE_OBJECT) { // subclasses of list and dict
        if (kind == PICKLE_LIST) return DEFT_OK;
        if (!v->as.object.state) v->as.object.state = pickle_new(m->a, PICKLE_DICT);
        v = v->as.object.state;
        if (!v) return no_memory(m);
        if (v->kind != PICKLE_DICT) return DEFT_OK;
    }
    if (v->kind != kind)
        return deft_fail(m->err, DEFT_E_FORMAT, "items for %s", pickle_kind_name(v->kind));
    *to = v;
    return DEFT_OK;
}

/* APPEND, SETITEM: the items lie directly above their target; APPENDS, SETITEMS, ADDITEMS: above a
 * mark above it. */
static deft_status op_items(machine *m)
{
    const bool marked = m->op == 'e' || m->op == 'u' || m->op == 0x90;
    const pickle_kind kind = m->op == 's' || m->op == 'u' ? PICKLE_DICT : PICKLE_LIST;
    pickle_value **items = NULL, *to = NULL;
    size_t n = kind == PICKLE_DICT ? 2 : 1;
    deft_status s = DEFT_OK;
    if (marked) {
        s = pop_mark(m, &items, &n);
        if (s != DEFT_OK) return s;
    } else {
        if (above_mark(m) < n) return bad(m, "takes from an empty stack");
        m->stack.as.list.n -= n;
        items = m->stack.as.list.item + m->stack.as.list.n;
    }
    if (kind == PICKLE_DICT && n % 2) return bad(m, "a key has no value");
    pickle_value *v = top(m);
    if (!v || !items) return DEFT_E_FORMAT;
    s = target_of(m, v, kind, &to);
    for (size_t i = 0; s == DEFT_OK && to && i < n; i++)
        if (!pickle_push(m->a, to, items[i])) s = no_memory(m);
    return s;
}

/* --- memo ------------------------------------------------------------------------------------ */

static deft_status op_put(machine *m)
{
    uint64_t index = m->n_memo;
    if (m->op != 0x94) {
        const deft_status s = number(m, m->op == 'q' ? 1 : 4, &index);
        if (s != DEFT_OK) return s;
    }
    pickle_value *v = top(m);
    if (!v) return DEFT_E_FORMAT;
    // writers count upwards, and an entry takes two bytes
    if (index >= m->size) return bad(m, "the memo has no such place");
    if (index >= m->room_memo) {
        size_t room = m->room_memo ? m->room_memo : 64;
        while (room <= index) room *= 2;
        pickle_value **more = DEFT_NEW_ARRAY(m->a, pickle_value *, room);
        if (!more) return no_memory(m);
        for (size_t i = 0; i < m->room_memo; i++) more[i] = m->memo[i];
        m->memo = more;
        m->room_memo = room;
    }
    if (!m->memo[index]) m->n_memo++;
    m->memo[index] = v;
    return DEFT_OK;
}

static deft_status op_get(machine *m)
{
    uint64_t index = 0;
    const deft_status s = number(m, m->op == 'h' ? 1 : 4, &index);
    if (s != DEFT_OK) return s;
    if (index >= m->room_memo || !m->memo[index]) return bad(m, "nothing was stored in this place");
    return push(m, m->memo[index]);
}

/* --- globals and objects --------------------------------------------------------------------- */

static deft_status push_global(machine *m, const char *const part[2], const size_t length[2])
{
    for (int k = 0; k < 2; k++)
        if (!length[k] || length[k] > 512 || memchr(part[k], 0, length[k]))
            return bad(m, "the name of a global is empty, long or damaged");
    pickle_value *v = pickle_new(m->a, PICKLE_GLOBAL);
    char *name =
        deft_arena_printf(m->a, "%.*s.%.*s", (int)length[0], part[0], (int)length[1], part[1]);
    if (!v || !name) return no_memory(m);
    v->as.text.s = name;
    v->as.text.n = strlen(name);
    return push(m, v);
}

static deft_status op_global(machine *m)
{
    const char *part[2];
    size_t length[2];
    for (int k = 0; k < 2; k++) {
        const uint8_t *end = m->at < m->size ? memchr(m->p + m->at, '\n', m->size - m->at) : NULL;
        if (!end) return bad(m, "the pickle ends inside a name");
        part[k] = (const char *)m->p + m->at;
        length[k] = (size_t)(end - (m->p + m->at));
        m->at += length[k] + 1;
    }
    return push_global(m, part, length);
}

static deft_status op_stack_global(machine *m)
{
    const pickle_value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!name || !module) return DEFT_E_FORMAT;
    if (name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT)
        return bad(m, "the name of a global is no string");
    const char *const part[2] = {module->as.text.s, name->as.text.s};
    const size_t length[2] = {module->as.text.n, name->as.text.n};
    return push_global(m, part, length);
}

static deft_status op_reduce(machine *m)
{
    pickle_value *args = pop(m), *v = NULL;
    const pickle_value *function = args ? pop(m) : NULL;
    if (!function) return DEFT_E_FORMAT;
    const deft_status s = pickle_call(function, args, m->a, &v, m->err);
    return s == DEFT_OK ? push(m, v) : s;
}

static deft_status op_new(machine *m)
{
    const bool keywords = m->op == 0x92;
    if (above_mark(m) < (keywords ? 3u : 2u)) return bad(m, "takes from an empty stack");
    m->stack.as.list.n -= keywords ? 2 : 1; // what the constructor would be given
    const pickle_value *type = pop(m);
    if (!type) return DEFT_E_FORMAT;
    if (type->kind != PICKLE_GLOBAL)
        return deft_fail(m->err, DEFT_E_FORMAT, "an instance of %s", pickle_kind_name(type->kind));
    return push(m, pickle_instance(type, m->a));
}

/* The attributes of an object. Those of anything else (an OrderedDict's _metadata) are of no use.
 */
static deft_status op_build(machine *m)
{
    pickle_value *state = pop(m), *v = state ? top(m) : NULL;
    if (!v) return DEFT_E_FORMAT;
    if (v->kind == PICKLE_OBJECT) v->as.object.state = state;
    if (v->kind == PICKLE_DTYPE || v->kind == PICKLE_ARRAY) pickle_numpy_build(v, state);
    return DEFT_OK;
}

static deft_status op_persistent(machine *m)
{
    const pickle_value *id = pop(m);
    pickle_value *v = NULL;
    if (!id) return DEFT_E_FORMAT;
    const deft_status s = pickle_persistent(id, m->a, &v, m->err);
    if (s != DEFT_OK) return s;
    if (m->storages && v->kind == PICKLE_STORAGE && !pickle_push(m->a, m->storages, v))
        return no_memory(m);
    return push(m, v);
}

static deft_status op_stop(machine *m)
{
    m->stopped = true;
    if (m->n_mark) return bad(m, "a mark is left");
    return top(m) ? DEFT_OK : DEFT_E_FORMAT;
}

/* Every opcode that is accepted. */
static const struct {
    const char *name;
    operation run;
} opcode[256] = {
    [0x80] = {"PROTO", op_protocol},
    [0x95] = {"FRAME", op_frame},
    ['.'] = {"STOP", op_stop},
    ['N'] = {"NONE", op_none},
    [0x88] = {"NEWTRUE", op_bool},
    [0x89] = {"NEWFALSE", op_bool},
    ['K'] = {"BININT1", op_int},
    ['M'] = {"BININT2", op_int},
    ['J'] = {"BININT", op_int},
    [0x8A] = {"LONG1", op_long},
    [0x8B] = {"LONG4", op_long},
    ['G'] = {"BINFLOAT", op_float},
    ['X'] = {"BINUNICODE", op_text},
    [0x8C] = {"SHORT_BINUNICODE", op_text},
    [0x8D] = {"BINUNICODE8", op_text},
    ['T'] = {"BINSTRING", op_text},
    ['U'] = {"SHORT_BINSTRING", op_text},
    ['B'] = {"BINBYTES", op_bytes},
    ['C'] = {"SHORT_BINBYTES", op_bytes},
    [0x8E] = {"BINBYTES8", op_bytes},
    [0x96] = {"BYTEARRAY8", op_bytes},
    ['('] = {"MARK", op_mark},
    ['0'] = {"POP", op_pop},
    ['1'] = {"POP_MARK", op_pop_mark},
    ['2'] = {"DUP", op_dup},
    [')'] = {"EMPTY_TUPLE", op_empty},
    [']'] = {"EMPTY_LIST", op_empty},
    ['}'] = {"EMPTY_DICT", op_empty},
    [0x8F] = {"EMPTY_SET", op_empty},
    ['t'] = {"TUPLE", op_collect},
    ['l'] = {"LIST", op_collect},
    ['d'] = {"DICT", op_collect},
    [0x91] = {"FROZENSET", op_collect},
    [0x85] = {"TUPLE1", op_tuple_n},
    [0x86] = {"TUPLE2", op_tuple_n},
    [0x87] = {"TUPLE3", op_tuple_n},
    ['a'] = {"APPEND", op_items},
    ['e'] = {"APPENDS", op_items},
    ['s'] = {"SETITEM", op_items},
    ['u'] = {"SETITEMS", op_items},
    [0x90] = {"ADDITEMS", op_items},
    ['q'] = {"BINPUT", op_put},
    ['r'] = {"LONG_BINPUT", op_put},
    [0x94] = {"MEMOIZE", op_put},
    ['h'] = {"BINGET", op_get},
    ['j'] = {"LONG_BINGET", op_get},
    ['c'] = {"GLOBAL", op_global},
    [0x93] = {"STACK_GLOBAL", op_stack_global},
    ['R'] = {"REDUCE", op_reduce},
    [0x81] = {"NEWOBJ", op_new},
    [0x92] = {"NEWOBJ_EX", op_new},
    ['b'] = {"BUILD", op_build},
    ['Q'] = {"BINPERSID", op_persistent},
};

deft_status pickle_load_first(deft_bytes pickle, deft_arena *a, pickle_value **out, size_t *used,
                              pickle_value *storages, deft_error *err)
{
    machine m = {.p = pickle.data, .size = pickle.size, .storages = storages, .a = a, .err = err};
    *out = NULL;
    m.stack.kind = PICKLE_LIST;
    m.stack.as.list.room = 64;
    m.stack.as.list.item = DEFT_NEW_ARRAY(a, pickle_value *, m.stack.as.list.room);
    if (!m.stack.as.list.item) return no_memory(&m);
    if (m.size > MAX_PICKLE) m.size = MAX_PICKLE; // storages may follow
    while (!m.stopped) {
        const size_t start = m.at;
        if (start >= m.size)
            return deft_fail(err, DEFT_E_FORMAT, "byte %zu: the pickle ends without STOP", start);
        m.op = m.p[m.at++];
        if (!opcode[m.op].run)
            return deft_fail(err, DEFT_E_UNSUPPORTED,
                             "byte %zu: opcode 0x%02x is not one that PyTorch's files need", start,
                             m.op);
        const deft_status s = opcode[m.op].run(&m);
        if (s != DEFT_OK)
            return deft_error_prefix(err, "byte %zu (%s)", start, opcode[m.op].name), s;
    }
    *used = m.at;
    *out = m.stack.as.list.item[m.stack.as.list.n - 1];
    return DEFT_OK;
}

deft_status pickle_load(deft_bytes pickle, deft_arena *a, pickle_value **out, deft_error *err)
{
    size_t used = 0;
    *out = NULL;
    if (pickle.size > MAX_PICKLE)
        return deft_fail(err, DEFT_E_SPACE, "a pickle of %zu bytes: at most %d are read",
                         pickle.size, MAX_PICKLE);
    return pickle_load_first(pickle, a, out, &used, NULL, err);
}
