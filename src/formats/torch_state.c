/* torch_state.c - state of TorchScript programs: attributes of modules that forward changes. */
#include "formats/torch_script.h"

#include <string.h>

static const ts_tensor *base_of(const ts_tensor *t)
{
    return t->base ? t->base : t;
}

/* Is the tensor, or one in the list, another one or written into? */
static bool touched(const ts_value *v)
{
    if (v->kind == TS_TENSOR) return base_of(v->as.t)->written;
    if (v->kind != TS_TUPLE && v->kind != TS_LIST && v->kind != TS_DICT) return false;
    if (v->as.list->changed) return true;
    for (int32_t i = 0; i < v->as.list->n; i++)
        if (v->as.list->item[i].kind == TS_TENSOR && touched(&v->as.list->item[i])) return true;
    return false;
}

/* Does the attribute hold, after the step, what it held before? */
static deft_status unchanged(ts_trial *t, const ts_object *o, const ts_attr *a, bool *same)
{
    ts *l = &t->l;
    ts_value was;
    *same = !touched(&a->value);
    if (!*same || !a->set) return DEFT_OK;
    *same = false;
    for (int32_t i = 0; i < l->n_state; i++) {
        if (strcmp(l->state[i].path, o->path) != 0 || strcmp(l->state[i].name, a->name) != 0)
            continue;
        if (l->state[i].kind == TS_TENSOR || l->state[i].leaves) return DEFT_OK;
        return ts_same(l, &l->state[i].other, &a->value, same);
    }
    if (a->value.kind == TS_TENSOR) {
        if (a->stored->kind != PICKLE_TENSOR) return DEFT_OK;
        const deft_status s = ts_stored_value(l, a->stored, a->name, false, &was);
        *same = s == DEFT_OK && was.as.t == a->value.as.t;
        return s;
    }
    if (a->value.kind == TS_TUPLE || a->value.kind == TS_LIST || a->value.kind == TS_DICT)
        return DEFT_OK;
    const deft_status s = ts_stored_value(l, a->stored, a->name, false, &was);
    return s == DEFT_OK ? ts_same(l, &was, &a->value, same) : s;
}

static ts_state *find_state(ts_states *states, const ts_object *o, const ts_attr *a, int32_t leaf)
{
    for (int32_t i = 0; i < states->n; i++) {
        ts_state *s = &states->state[i];
        if (strcmp(s->path, o->path) == 0 && strcmp(s->name, a->name) == 0 && s->leaf == leaf)
            return s;
    }
    return NULL;
}

static bool same_shape(const ts_state *a, const ts_state *b)
{
    return a->kind == b->kind && a->leaves == b->leaves && a->rank == b->rank &&
           memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

/* One tensor of an attribute, or its other value. Strings go where they outlive the run. */
static deft_status add_state(ts_trial *t, ts_states *states, const ts_object *o, const ts_attr *a,
                             ts_state made, bool *more)
{
    ts *l = &t->l;
    deft_arena *keep = l->p->a;
    ts_state *old = find_state(states, o, a, made.leaf);
    bool same = old && same_shape(old, &made);
    if (same && made.kind != TS_TENSOR && !made.leaves) {
        const deft_status s = ts_same(l, &old->other, &made.other, &same);
        if (s != DEFT_OK) return s;
    }
    if (same) return DEFT_OK;
    *more = true;
    if (!old && states->n == TS_MAX_STATES)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "the program has more than %d states", TS_MAX_STATES);
    const char *dot = *o->path ? "." : "";
    made.path = deft_arena_strndup(keep, o->path, strlen(o->path));
    made.name = a->name;
    made.label = made.leaves
                     ? deft_arena_printf(keep, "%s%s%s.%d", o->path, dot, a->name, (int)made.leaf)
                     : deft_arena_printf(keep, "%s%s%s", o->path, dot, a->name);
    if (made.other.kind == TS_STRING)
        made.other.as.s = deft_arena_strndup(keep, made.other.as.s, strlen(made.other.as.s));
    if (!made.path || !made.label || (made.other.kind == TS_STRING && !made.other.as.s))
        return ts_no_memory(l);
    if (!old) old = &states->state[states->n++];
    *old = made;
    return DEFT_OK;
}

/* false: not a tensor of floats. */
static bool take_shape(ts *l, ts_state *s, const ts_tensor *t)
{
    const deft_tensor *shape = ts_shape(l, t);
    s->rank = shape->rank;
    memcpy(s->dim, shape->dim, sizeof s->dim);
    return l->edge[base_of(t)->value].t->dtype == DEFT_F32;
}

static deft_status refuse(ts_trial *t, const ts_object *o, const ts_attr *a)
{
    char path[120], name[80];
    return ts_fail(&t->l, DEFT_E_UNSUPPORTED,
                   "forward changes attribute '%s' of module '%s', which is %s: state must be "
                   "tensors of floats",
                   deft_escape(name, sizeof name, a->name, 64),
                   deft_escape(path, sizeof path, o->path, 100), ts_kind_name(a->value.kind));
}

static deft_status add_attr(ts_trial *t, ts_states *states, const ts_object *o, const ts_attr *a,
                            bool *more)
{
    ts *l = &t->l;
    const ts_value *v = &a->value;
    ts_state made = {.kind = v->kind};
    if (v->kind == TS_TENSOR) {
        if (!take_shape(l, &made, v->as.t)) return refuse(t, o, a);
        return add_state(t, states, o, a, made, more);
    }
    if (v->kind <= TS_STRING) { // numbers, strings and None
        made.other = *v;
        return add_state(t, states, o, a, made, more);
    }
    if (v->kind != TS_TUPLE && v->kind != TS_LIST) return refuse(t, o, a);
    made.leaves = v->as.list->n;
    for (int32_t i = 0; i < made.leaves; i++)
        if (v->as.list->item[i].kind != TS_TENSOR) return refuse(t, o, a);
    deft_status s = DEFT_OK;
    for (int32_t i = 0; s == DEFT_OK && i < made.leaves; i++) {
        made.leaf = i;
        if (!take_shape(l, &made, v->as.list->item[i].as.t)) return refuse(t, o, a);
        s = add_state(t, states, o, a, made, more);
    }
    return s;
}

/* Two attributes of one tensor that is written into would have to change together. */
static deft_status check_shared(ts_trial *t)
{
    ts *l = &t->l;
    for (int32_t i = 0; i < l->n_kept; i++) {
        int32_t holders = 0;
        if (!l->kept[i]->written) continue;
        for (int32_t k = 0; k < l->n_object; k++)
            for (int32_t j = 0; j < l->object[k]->n; j++) {
                const ts_attr *a = &l->object[k]->attr[j];
                holders += a->read && a->value.kind == TS_TENSOR && a->value.as.t == l->kept[i];
            }
        if (holders > 1)
            return ts_fail(l, DEFT_E_UNSUPPORTED, "state '%s' is shared by several attributes",
                           l->kept[i]->path ? l->kept[i]->path : "");
    }
    return DEFT_OK;
}

deft_status ts_find_states(ts_trial *t, ts_states *states, bool *more)
{
    ts *l = &t->l;
    *more = false;
    deft_status s = check_shared(t);
    const int32_t n = l->n_object; // what is compared below adds none that matters
    for (int32_t i = 0; s == DEFT_OK && i < n; i++) {
        const ts_object *o = l->object[i];
        for (int32_t k = 0; s == DEFT_OK && k < o->n; k++) {
            bool same = true;
            if (!o->attr[k].read) continue;
            s = unchanged(t, o, &o->attr[k], &same);
            if (s == DEFT_OK && !same) s = add_attr(t, states, o, &o->attr[k], more);
        }
    }
    return s;
}

int32_t ts_state_after(ts_trial *t, const ts_state *s)
{
    ts *l = &t->l;
    for (int32_t i = 0; i < l->n_object; i++) {
        ts_object *o = l->object[i];
        if (strcmp(o->path, s->path) != 0) continue;
        ts_value v;
        if (ts_get_attr(l, o, s->name, &v) != DEFT_OK) return -1;
        if (s->leaves && (v.kind == TS_TUPLE || v.kind == TS_LIST) && s->leaf < v.as.list->n)
            v = v.as.list->item[s->leaf];
        if (v.kind == TS_TENSOR) return ts_read(l, v.as.t);
        return (void)ts_fail(l, DEFT_E_UNSUPPORTED, "state '%s' is %s at the end of a step",
                             s->label, ts_kind_name(v.kind)),
               -1;
    }
    return (void)ts_fail(l, DEFT_E_FORMAT, "state '%s' is gone", s->label), -1;
}
