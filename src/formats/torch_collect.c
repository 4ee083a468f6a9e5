/* torch_collect.c - the tensors and modules below a value of a pickle, with their names. Values may
 * be shared and may contain themselves: depth and visits are bounded. */
#include "formats/torch_private.h"

#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_NAME = 1024, MAX_VISITS = 1 << 20, MAX_TENSORS = 1 << 14 };

/* A container on the way down. */
typedef struct frame {
    pickle_value *v;
    size_t next;     // item
    size_t name_len; // of the container itself
    bool object;     // these are an object's attributes
} frame;

typedef struct walker {
    frame stack[MAX_DEPTH];
    int depth;
    char name[MAX_NAME];
    size_t visits;
    bool constants;
    deft_arena *a;
    torch_found *found;
    deft_error *err;
} walker;

static deft_status no_memory(walker *w)
{
    return deft_fail(w->err, DEFT_E_SPACE, "more memory than a checkpoint may take");
}

/* Room for one more in an array of pointers. */
static bool grow(deft_arena *a, const char ***list, size_t n, size_t room)
{
    const char **more = DEFT_NEW_ARRAY(a, const char *, room);
    if (!more) return false;
    for (size_t i = 0; i < n; i++) more[i] = (*list)[i];
    *list = more;
    return true;
}

static deft_status add_tensor(walker *w, const torch_view *view, size_t name_len)
{
    torch_found *f = w->found;
    if (f->n == MAX_TENSORS)
        return deft_fail(w->err, DEFT_E_RANGE, "more than %d tensors", MAX_TENSORS);
    if (f->n == f->room) {
        const size_t room = f->room ? 2 * f->room : 32;
        const torch_view **more = DEFT_NEW_ARRAY(w->a, const torch_view *, room);
        if (!more || !grow(w->a, &f->name, f->n, room)) return no_memory(w);
        for (size_t i = 0; i < f->n; i++) more[i] = f->view[i];
        f->view = more;
        f->room = room;
    }
    f->name[f->n] = name_len ? deft_arena_strndup(w->a, w->name, name_len) : "tensor";
    f->view[f->n] = view;
    return f->name[f->n++] ? DEFT_OK : no_memory(w);
}

/* "torch.nn.modules.activation.ReLU" of "__torch__.torch.nn...___torch_mangle_3.ReLU". */
static char *class_name(deft_arena *a, const char *s)
{
    static const char root[] = "__torch__.", mangle[] = "___torch_mangle_";
    if (strncmp(s, root, sizeof root - 1) == 0) s += sizeof root - 1;
    char *out = deft_arena_strndup(a, s, MAX_NAME);
    for (char *m = out; m && (m = strstr(m, mangle)) != NULL;) {
        const char *end = strchr(m, '.');
        if (!end) break;
        memmove(m, end + 1, strlen(end + 1) + 1);
    }
    return out;
}

static deft_status add_module(walker *w, const pickle_value *object, size_t name_len)
{
    torch_found *f = w->found;
    if (f->n_module == MAX_TENSORS)
        return deft_fail(w->err, DEFT_E_RANGE, "more than %d objects", MAX_TENSORS);
    if (f->n_module == f->room_module) {
        const size_t room = f->room_module ? 2 * f->room_module : 16;
        if (!grow(w->a, &f->module, f->n_module, room) || !grow(w->a, &f->type, f->n_module, room))
            return no_memory(w);
        f->room_module = room;
    }
    f->module[f->n_module] = deft_arena_strndup(w->a, w->name, name_len);
    f->type[f->n_module] = class_name(w->a, object->as.object.type->as.text.s);
    if (!f->module[f->n_module] || !f->type[f->n_module]) return no_memory(w);
    f->n_module++;
    return DEFT_OK;
}

/* Puts one more part behind the first name_len characters. */
static deft_status extend(walker *w, size_t name_len, const pickle_value *key, size_t index,
                          size_t *len)
{
    char number[32];
    const char *part = number;
    size_t n = 0;
    if (key && key->kind == PICKLE_TEXT) {
        part = key->as.text.s;
        n = key->as.text.n;
    } else if (key && key->kind == PICKLE_INT) {
        n = (size_t)snprintf(number, sizeof number, "%lld", (long long)key->as.i);
    } else {
        const char *before = w->constants && w->depth == 1 ? "c" : "";
        n = (size_t)snprintf(number, sizeof number, "%s%zu", before, index);
    }
    const size_t dot = name_len > 0;
    if (n && memchr(part, 0, n)) return deft_fail(w->err, DEFT_E_FORMAT, "a name holds a NUL");
    if (n > MAX_NAME - 2 - name_len)
        return deft_fail(w->err, DEFT_E_RANGE, "a name of more than %d bytes", MAX_NAME - 2);
    if (dot) w->name[name_len] = '.';
    memcpy(w->name + name_len + dot, part, n);
    *len = name_len + dot + n;
    w->name[*len] = '\0';
    return DEFT_OK;
}

static deft_status enter(walker *w, pickle_value *v, size_t name_len, bool object)
{
    if (w->depth == MAX_DEPTH)
        return deft_fail(w->err, DEFT_E_RANGE, "values are nested deeper than %d, or in a circle",
                         MAX_DEPTH);
    w->stack[w->depth++] = (frame){v, 0, name_len, object};
    return DEFT_OK;
}

static deft_status visit(walker *w, pickle_value *v, size_t name_len)
{
    if (++w->visits > MAX_VISITS)
        return deft_fail(w->err, DEFT_E_RANGE, "more than %d values", MAX_VISITS);
    switch (v->kind) {
    case PICKLE_TENSOR:
        return add_tensor(w, v->as.view, name_len);
    case PICKLE_TUPLE:
    case PICKLE_LIST:
    case PICKLE_DICT:
        return enter(w, v, name_len, false);
    case PICKLE_OBJECT: {
        pickle_value *state = v->as.object.state;
        const deft_status s = add_module(w, v, name_len);
        if (s != DEFT_OK || !state) return s;
        // (attributes, slots): the attributes are what matters
        if (state->kind == PICKLE_TUPLE && state->as.list.n == 2) state = state->as.list.item[0];
        return state->kind == PICKLE_DICT ? enter(w, state, name_len, true) : DEFT_OK;
    }
    default:
        return DEFT_OK;
    }
}

/* Where nn.Module keeps what it shows as its own attributes. */
static bool is_transparent(const pickle_value *key)
{
    return pickle_is_text(key, "_parameters") || pickle_is_text(key, "_buffers") ||
           pickle_is_text(key, "_modules");
}

static deft_status advance(walker *w)
{
    frame *f = &w->stack[w->depth - 1];
    const bool dict = f->v->kind == PICKLE_DICT;
    const size_t i = f->next, name_len = f->name_len;
    if (i >= f->v->as.list.n) {
        w->depth--;
        return DEFT_OK;
    }
    f->next += dict ? 2 : 1;
    const pickle_value *key = dict ? f->v->as.list.item[i] : NULL;
    pickle_value *v = f->v->as.list.item[dict ? i + 1 : i];
    if (key && f->object && v->kind == PICKLE_DICT && is_transparent(key))
        return enter(w, v, name_len, false);
    size_t len = 0;
    const deft_status s = extend(w, name_len, key, dict ? i / 2 : i, &len);
    return s == DEFT_OK ? visit(w, v, len) : s;
}

deft_status torch_collect(pickle_value *root, bool constants, deft_arena *a, torch_found *found,
                          deft_error *err)
{
    walker w = {.constants = constants, .a = a, .found = found, .err = err};
    size_t len = 0;
    if (constants) len = (size_t)snprintf(w.name, sizeof w.name, "CONSTANTS");
    deft_status s = visit(&w, root, len);
    while (s == DEFT_OK && w.depth) s = advance(&w);
    return s;
}
