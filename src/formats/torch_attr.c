/* torch_attr.c - the modules of a TorchScript program: their attributes out of the pickles, what
 * the program puts into them, and the files that hold their code. */
#include "formats/torch_script.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CODE = 8 << 20, MAX_UNITS = 4096, MAX_ATTRS = 4096, MAX_OBJECTS = 1 << 14 };

static deft_status no_memory(ts_program *p)
{
    return deft_fail(p->err, DEFT_E_SPACE, "more memory than a program may take");
}

/* --- code ------------------------------------------------------------------------------------ */

/* "__torch__.a.b" is code/__torch__/a/b.py; *out NULL: there is none. */
static deft_status read_unit(ts_program *p, const char *module, const ts_file **out)
{
    ts_text t = {0};
    char *name = deft_arena_printf(p->a, "code/%s.py", module);
    if (!name) return no_memory(p);
    for (char *c = name + 5; c < name + 5 + strlen(module); c++)
        if (*c == '.') *c = '/';
    t.name = name;
    const char *entry = deft_arena_printf(p->a, "%s%s", p->archive->folder, name);
    if (!entry) return no_memory(p);
    if (!torch_zip_has(p->archive->zip, entry)) return DEFT_OK;
    deft_status s = torch_zip_read(p->archive->zip, entry, &t.bytes, p->err);
    if (s == DEFT_OK && t.bytes.size > MAX_CODE)
        s = deft_fail(p->err, DEFT_E_RANGE, "%s is larger than any policy needs", name);
    if (s != DEFT_OK) return s;
    if (p->n_unit == MAX_UNITS) return no_memory(p);
    if (!p->unit) p->unit = DEFT_NEW_ARRAY(p->a, ts_unit, MAX_UNITS);
    if (!p->unit) return no_memory(p);
    char shown[200];
    t.name = deft_arena_strndup(p->a, deft_escape(shown, sizeof shown, name, 1024), sizeof shown);
    ts_unit *u = &p->unit[p->n_unit];
    u->module = module;
    if (!t.name) return no_memory(p);
    s = ts_lex(&t, &p->names, p->a, p->err);
    if (s == DEFT_OK) s = ts_parse(&t, &p->names, p->a, &u->file, p->err);
    if (s != DEFT_OK) return s;
    p->n_unit++;
    *out = &u->file;
    return DEFT_OK;
}

/* The file of "__torch__.a.b.C", and C. */
static deft_status find_file(ts_program *p, const char *name, const ts_file **out,
                             const char **last)
{
    *out = NULL;
    const char *dot = strrchr(name, '.');
    *last = dot ? dot + 1 : name;
    if (!dot || strncmp(name, "__torch__", 9) != 0) return DEFT_OK;
    const size_t n = (size_t)(dot - name);
    for (int32_t i = 0; i < p->n_unit; i++) {
        if (strncmp(p->unit[i].module, name, n) != 0 || p->unit[i].module[n]) continue;
        *out = &p->unit[i].file;
        return DEFT_OK;
    }
    const char *module = deft_arena_strndup(p->a, name, n);
    return module ? read_unit(p, module, out) : no_memory(p);
}

deft_status ts_find_class(ts_program *p, const char *name, const ts_class **out)
{
    const ts_file *f = NULL;
    const char *last = NULL;
    *out = NULL;
    const deft_status s = find_file(p, name, &f, &last);
    if (s != DEFT_OK || !f) return s;
    for (const ts_class *c = f->type; c && !*out; c = c->next)
        if (strcmp(c->name, last) == 0) *out = c;
    return DEFT_OK;
}

deft_status ts_find_function(ts_program *p, const char *name, const ts_function **out)
{
    const ts_file *f = NULL;
    const char *last = NULL;
    *out = NULL;
    const deft_status s = find_file(p, name, &f, &last);
    if (s != DEFT_OK || !f) return s;
    for (const ts_function *c = f->function; c && !*out; c = c->next)
        if (strcmp(c->name, last) == 0) *out = c;
    return DEFT_OK;
}

const ts_function *ts_method(const ts_class *c, const char *name)
{
    for (const ts_function *f = c ? c->method : NULL; f; f = f->next)
        if (strcmp(f->name, name) == 0) return f;
    return NULL;
}

/* --- tensors of the pickles ------------------------------------------------------------------ */

deft_status ts_stored_tensor(ts_program *p, const torch_view *v, bool constants,
                             const deft_tensor **out)
{
    for (int32_t i = 0; i < p->n_stored; i++) {
        if (p->stored[i].view != v) continue;
        *out = &p->stored[i].t;
        return DEFT_OK;
    }
    if (p->n_stored == p->room_stored) return no_memory(p);
    deft_bytes bytes = {0};
    ts_stored *to = &p->stored[p->n_stored];
    deft_status s = torch_archive_storage(p->archive, v->storage, constants, &bytes);
    if (s == DEFT_OK) s = torch_gather(v, bytes, p->archive->big_endian, p->a, &to->t, p->err);
    if (s != DEFT_OK) return s;
    to->view = v;
    to->constants = constants;
    p->n_stored++;
    *out = &to->t;
    return DEFT_OK;
}

static bool same_view(const torch_view *a, const torch_view *b)
{
    if (strcmp(a->storage->key, b->storage->key) != 0 || a->offset != b->offset ||
        a->rank != b->rank || a->type != b->type)
        return false;
    for (int32_t d = 0; d < a->rank; d++)
        if (a->size[d] != b->size[d] || a->stride[d] != b->stride[d]) return false;
    return true;
}

/* Tensors of one storage and one shape are one tensor, whatever attributes hold it. */
static deft_status tensor_value(ts *l, const torch_view *v, const char *path, bool constants,
                                ts_value *out)
{
    for (int32_t i = 0; i < l->n_kept; i++) {
        if (constants || !same_view(l->kept[i]->view, v)) continue;
        *out = ts_of(l->kept[i]);
        return DEFT_OK;
    }
    const deft_tensor *t = NULL;
    const deft_status s = ts_stored_tensor(l->p, v, constants, &t);
    if (s != DEFT_OK) return s;
    ts_tensor *made = ts_wrap(l, ts_constant(l, t, path));
    if (!made) return l->err->status;
    *out = ts_of(made);
    if (constants) return DEFT_OK;
    made->path = path;
    made->view = v;
    if (l->n_kept == l->room_kept) {
        const int32_t room = l->room_kept ? 2 * l->room_kept : 64;
        ts_tensor **more = DEFT_NEW_ARRAY(l->a, ts_tensor *, room);
        if (!more) return ts_no_memory(l);
        if (l->n_kept)
            memcpy((void *)more, (void *)l->kept, (size_t)l->n_kept * sizeof(ts_tensor *));
        l->kept = more;
        l->room_kept = room;
    }
    l->kept[l->n_kept++] = made;
    return DEFT_OK;
}

/* --- values of the pickles ------------------------------------------------------------------- */

static deft_status list_value(ts *l, pickle_value *v, const char *path, bool constants,
                              ts_value *out)
{
    const int32_t n = v->as.list.n > TS_MAX_LIST ? TS_MAX_LIST + 1 : (int32_t)v->as.list.n;
    ts_list *list = ts_new_list(l, n);
    if (!list) return l->err->status;
    deft_status s = ts_enter(l);
    for (int32_t i = 0; s == DEFT_OK && i < n; i++) {
        ts_value item = ts_none();
        const bool text = v->as.list.item[i]->kind == PICKLE_TEXT; // a list of names
        const char *name =
            text || v->kind == PICKLE_DICT
                ? path
                : deft_arena_printf(l->a, "%s.%s%d", path, constants ? "c" : "", (int)i);
        s = name ? ts_stored_value(l, v->as.list.item[i], name, constants, &item) : ts_no_memory(l);
        if (s == DEFT_OK) s = ts_push(l, list, item);
    }
    ts_leave(l);
    out->kind = v->kind == PICKLE_TUPLE ? TS_TUPLE : v->kind == PICKLE_DICT ? TS_DICT : TS_LIST;
    out->as.list = list;
    return s;
}

deft_status ts_stored_value(ts *l, pickle_value *v, const char *path, bool constants, ts_value *out)
{
    *out = ts_none();
    switch (v->kind) {
    case PICKLE_NONE:
        return DEFT_OK;
    case PICKLE_BOOL:
    case PICKLE_INT:
        *out = v->kind == PICKLE_BOOL ? ts_bool(v->as.i) : ts_int(v->as.i);
        return DEFT_OK;
    case PICKLE_FLOAT:
        *out = ts_float(v->as.f);
        return DEFT_OK;
    case PICKLE_TEXT:
        out->kind = TS_STRING;
        out->as.s = deft_arena_strndup(l->a, v->as.text.s, v->as.text.n);
        return out->as.s ? DEFT_OK : ts_no_memory(l);
    case PICKLE_TENSOR:
        return tensor_value(l, v->as.view, path, constants, out);
    case PICKLE_TUPLE:
    case PICKLE_LIST:
    case PICKLE_DICT:
        return list_value(l, v, path, constants, out);
    case PICKLE_OBJECT:
        out->kind = TS_OBJECT;
        return ts_object_of(l, v, path, &out->as.object);
    case PICKLE_OPAQUE:
        out->kind = TS_DEVICE;
        out->as.s = "cpu";
        return DEFT_OK;
    default:
        return ts_fail(l, DEFT_E_UNSUPPORTED, "attribute '%s' is %s", path,
                       pickle_kind_name(v->kind));
    }
}

/* --- objects --------------------------------------------------------------------------------- */

static const char *shown(ts *l, const char *s, size_t n)
{
    char text[200];
    const char *copy = deft_arena_strndup(l->a, deft_escape(text, sizeof text, s, n), sizeof text);
    return copy ? copy : "";
}

static deft_status fill_attrs(ts *l, ts_object *o, const pickle_value *state)
{
    const size_t n = state && state->kind == PICKLE_DICT ? state->as.list.n / 2 : 0;
    if (n > MAX_ATTRS) return ts_fail(l, DEFT_E_RANGE, "a module has too many attributes");
    o->room = (int32_t)n + 4;
    o->attr = DEFT_NEW_ARRAY(l->a, ts_attr, o->room);
    if (!o->attr) return ts_no_memory(l);
    for (size_t i = 0; i < n; i++) {
        const pickle_value *key = state->as.list.item[2 * i];
        if (key->kind != PICKLE_TEXT)
            return ts_fail(l, DEFT_E_FORMAT, "an attribute's name is no string");
        ts_attr *a = &o->attr[o->n++];
        a->name = ts_intern(&l->p->names, key->as.text.s, key->as.text.n);
        a->stored = state->as.list.item[2 * i + 1];
        if (!a->name) return ts_no_memory(l);
    }
    return DEFT_OK;
}

deft_status ts_object_of(ts *l, pickle_value *v, const char *path, ts_object **out)
{
    for (int32_t i = 0; i < l->n_object; i++) {
        if (l->object[i]->stored != v) continue;
        *out = l->object[i];
        return DEFT_OK;
    }
    if (l->n_object == MAX_OBJECTS) return ts_fail(l, DEFT_E_RANGE, "too many modules");
    if (l->n_object == l->room_object) {
        const int32_t room = l->room_object ? 2 * l->room_object : 32;
        ts_object **more = DEFT_NEW_ARRAY(l->a, ts_object *, room);
        if (!more) return ts_no_memory(l);
        if (l->n_object)
            memcpy((void *)more, (void *)l->object, (size_t)l->n_object * sizeof(ts_object *));
        l->object = more;
        l->room_object = room;
    }
    ts_object *o = DEFT_NEW(l->a, ts_object);
    if (!o) return ts_no_memory(l);
    *o = (ts_object){.path = path, .type = v->as.object.type->as.text.s, .stored = v};
    l->object[l->n_object++] = o;
    *out = o;
    return fill_attrs(l, o, v->as.object.state);
}

ts_attr *ts_find_attr(ts_object *o, const char *name)
{
    for (int32_t i = 0; i < o->n; i++)
        if (o->attr[i].name == name || strcmp(o->attr[i].name, name) == 0) return &o->attr[i];
    return NULL;
}

/* What a state is before the step: inputs of the graph. */
static deft_status state_value(ts *l, const ts_object *o, ts_attr *a)
{
    int32_t i = 0;
    while (i < l->n_state &&
           (strcmp(l->state[i].path, o->path) != 0 || strcmp(l->state[i].name, a->name) != 0))
        i++;
    if (i == l->n_state) return DEFT_OK;
    const ts_state *s = &l->state[i];
    const bool several = s->leaves > 0;
    ts_list *list = several ? ts_new_list(l, s->leaves) : NULL;
    if (several && !list) return l->err->status;
    a->read = true;
    a->value = s->other;
    if (!several && s->kind != TS_TENSOR) return DEFT_OK;
    for (int32_t k = 0; k < (several ? s->leaves : 1); k++) {
        ts_tensor *t = ts_wrap(l, l->state_edge[i + k]);
        if (!t) return l->err->status;
        t->path = l->state[i + k].label;
        a->value = ts_of(t);
        if (several) list->item[list->n++] = a->value;
    }
    if (several) a->value = (ts_value){.kind = s->kind, .as.list = list};
    return DEFT_OK;
}

deft_status ts_get_attr(ts *l, ts_object *o, const char *name, ts_value *out)
{
    ts_attr *a = ts_find_attr(o, name);
    if (!a)
        return ts_fail(l, DEFT_E_FORMAT, "module '%s' has no attribute '%s'",
                       shown(l, o->path, 1024), shown(l, name, 256));
    if (!a->read) {
        const char *path = *o->path ? deft_arena_printf(l->a, "%s.%s", o->path, name) : a->name;
        if (!path) return ts_no_memory(l);
        deft_status s = state_value(l, o, a);
        if (s == DEFT_OK && !a->read) s = ts_stored_value(l, a->stored, path, false, &a->value);
        if (s != DEFT_OK) return s;
        a->read = true;
    }
    *out = a->value;
    return DEFT_OK;
}

deft_status ts_set_attr(ts *l, ts_object *o, const char *name, const ts_value *v)
{
    ts_attr *a = ts_find_attr(o, name);
    if (!a)
        return ts_fail(l, DEFT_E_FORMAT, "module '%s' has no attribute '%s' to set",
                       shown(l, o->path, 1024), shown(l, name, 256));
    a->value = *v;
    a->read = a->set = true;
    return DEFT_OK;
}
