/* torch_trial.c - one run of a TorchScript program's forward, and what it changed. */
#include "formats/torch_script.h"

#include <stdio.h>
#include <string.h>

static deft_status no_memory(ts_program *p)
{
    return deft_fail(p->err, DEFT_E_SPACE, "more memory than a program may take");
}

/* --- methods of the root --------------------------------------------------------------------- */

static deft_status root_class(ts_program *p, const ts_class **out)
{
    const char *type = p->root->as.object.type->as.text.s;
    char text[200];
    const deft_status s = ts_find_class(p, type, out);
    if (s != DEFT_OK || *out) return s;
    return deft_fail(p->err, DEFT_E_FORMAT, "the archive's code has no class '%s'",
                     deft_escape(text, sizeof text, type, 512));
}

deft_status ts_has_methods(ts_program *p, bool *found)
{
    const ts_class *c = NULL;
    const deft_status s = root_class(p, &c);
    *found = s == DEFT_OK && c->method;
    return s;
}

deft_status ts_forward(ts_program *p, const ts_function **out)
{
    const ts_class *c = NULL;
    const deft_status s = root_class(p, &c);
    if (s != DEFT_OK) return s;
    *out = ts_method(c, "forward");
    if (*out) return DEFT_OK;
    char names[300] = "";
    for (const ts_function *f = c->method; f; f = f->next) {
        const size_t n = strlen(names);
        char text[80];
        (void)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "",
                       deft_escape(text, sizeof text, f->name, 64));
    }
    return deft_fail(p->err, DEFT_E_UNSUPPORTED,
                     "%s:%d: the module has no method 'forward' (it has: %s)", c->file,
                     (int)c->line, *names ? names : "none");
}

deft_status ts_reset(ts_program *p, const ts_function **out)
{
    static const char *const names[] = {"reset", "reset_memory", "reset_state", "reset_states",
                                        "reset_hidden"};
    const ts_class *c = NULL;
    const deft_status s = root_class(p, &c);
    *out = NULL;
    if (s != DEFT_OK) return s;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !*out; i++)
        *out = ts_method(c, names[i]);
    for (const ts_function *f = c->method; f && !*out; f = f->next)
        if (strncmp(f->name, "reset", 5) == 0) *out = f;
    for (int32_t i = 1; *out && i < (*out)->n_param; i++)
        if (!(*out)->param[i].otherwise) *out = NULL;
    return DEFT_OK;
}

/* --- inputs ---------------------------------------------------------------------------------- */

static bool is_name(const ts_expr *e, const char *name)
{
    return e && e->kind == TS_E_NAME && strcmp(e->s, name) == 0;
}

static deft_status add_leaf(ts_program *p, ts_spec *spec, const char *name, int32_t param,
                            int32_t item)
{
    if (spec->n == TS_MAX_LEAVES)
        return deft_fail(p->err, DEFT_E_UNSUPPORTED, "forward takes more than %d tensors",
                         TS_MAX_LEAVES);
    ts_leaf *leaf = &spec->leaf[spec->n++];
    *leaf = (ts_leaf){.name = name, .param = param, .item = item};
    if (item >= 0) leaf->name = deft_arena_printf(p->a, "%s.%d", name, (int)item);
    return leaf->name ? DEFT_OK : no_memory(p);
}

deft_status ts_read_spec(ts_program *p, ts_spec *spec)
{
    const ts_function *f = NULL;
    deft_status s = ts_forward(p, &f);
    for (int32_t i = 1; s == DEFT_OK && i < f->n_param; i++) {
        const ts_param *q = &f->param[i];
        if (q->otherwise) continue;
        const bool tuple = q->type && q->type->kind == TS_E_INDEX && is_name(q->type->a, "Tuple");
        bool fits = !q->type || is_name(q->type, "Tensor") || tuple;
        for (int32_t k = 0; tuple && k < q->type->n; k++)
            fits = fits && is_name(q->type->item[k], "Tensor");
        if (!fits)
            return deft_fail(p->err, DEFT_E_UNSUPPORTED,
                             "%s:%d: forward takes '%s', which is no tensor: export a module that "
                             "takes the observations as one tensor",
                             f->file, (int)f->line, q->name);
        if (!tuple) s = add_leaf(p, spec, q->name, i, -1);
        for (int32_t k = 0; tuple && s == DEFT_OK && k < q->type->n; k++)
            s = add_leaf(p, spec, q->name, i, k);
    }
    if (s == DEFT_OK && !spec->n)
        return deft_fail(p->err, DEFT_E_UNSUPPORTED, "%s:%d: forward takes no tensor", f->file,
                         (int)f->line);
    return s;
}

/* --- a run ----------------------------------------------------------------------------------- */

static deft_status make_inputs(ts_trial *t, const ts_states *states)
{
    ts *l = &t->l;
    for (int32_t i = 0; i < t->spec->n; i++) {
        const ts_leaf *leaf = &t->spec->leaf[i];
        t->input[i] = ts_dynamic(l, DEFT_F32, leaf->rank, leaf->dim);
        if (t->input[i] < 0) return l->err->status;
    }
    for (int32_t i = 0; states && i < states->n; i++) {
        const ts_state *s = &states->state[i];
        t->state_edge[i] = -1;
        if (s->kind != TS_TENSOR && !s->leaves) continue;
        t->state_edge[i] = ts_dynamic(l, DEFT_F32, s->rank, s->dim);
        if (t->state_edge[i] < 0) return l->err->status;
    }
    return DEFT_OK;
}

static deft_status call_forward(ts_trial *t)
{
    enum { MOST = 64 };
    ts *l = &t->l;
    ts_value arg[MOST];
    int32_t n = 1;
    for (int32_t i = 0; i < MOST; i++) arg[i] = (ts_value){.kind = TS_UNSET};
    arg[0] = (ts_value){.kind = TS_OBJECT, .as.object = t->root};
    for (int32_t i = 0; i < t->spec->n; i++) {
        const ts_leaf *leaf = &t->spec->leaf[i];
        ts_tensor *x = ts_wrap(l, t->input[i]);
        if (!x) return l->err->status;
        ts_value *to = &arg[leaf->param];
        n = leaf->param + 1;
        if (leaf->item < 0) {
            *to = ts_of(x);
            continue;
        }
        if (leaf->item == 0)
            *to = (ts_value){.kind = TS_TUPLE, .as.list = ts_new_list(l, TS_MAX_LEAVES)};
        if (!to->as.list) return l->err->status;
        to->as.list->item[to->as.list->n++] = ts_of(x);
    }
    return ts_call(l, t->forward, t->root, arg, n, &t->result);
}

deft_status ts_try(ts_program *p, const ts_spec *spec, const ts_states *states,
                   const ts_function *reset, ts_trial *t)
{
    *t = (ts_trial){.spec = spec};
    ts *l = &t->l;
    deft_arena_reset(p->run);
    *p->err = (deft_error){DEFT_OK, ""};
    *l = (ts){.p = p, .a = p->run, .err = p->err, .path = "", .seed = 1};
    l->state_edge = t->state_edge;
    if (states) {
        l->state = states->state;
        l->n_state = states->n;
    }
    const int64_t before = p->steps;
    deft_status s = ts_forward(p, &t->forward);
    if (s == DEFT_OK) s = make_inputs(t, states);
    if (s == DEFT_OK) s = ts_object_of(l, p->root, "", &t->root);
    const ts_value self = {.kind = TS_OBJECT, .as.object = t->root};
    ts_value nothing;
    if (s == DEFT_OK && reset) s = ts_call(l, reset, t->root, &self, 1, &nothing);
    if (s == DEFT_OK) s = call_forward(t);
    t->steps = before - p->steps;
    return s;
}

/* --- results --------------------------------------------------------------------------------- */

/* What forward's last return names. */
static const ts_expr *returned(const ts_function *f)
{
    const ts_expr *e = NULL;
    for (const ts_stmt *s = f->body; s; s = s->next)
        if (s->kind == TS_S_RETURN) e = s->value;
    return e;
}

/* "actions0" of the program is "actions": the compiler numbers variables of one name. */
static const char *plain_name(ts *l, const char *s)
{
    size_t n = strlen(s);
    while (n > 1 && s[n - 1] >= '0' && s[n - 1] <= '9') n--;
    const char *name = deft_arena_strndup(l->a, s, n);
    return name ? name : "output";
}

/* The tensors of a value, depth first, nested at most twice. */
static deft_status add_results(ts_trial *t, const ts_value *v, const char *name, ts_tensor **out,
                               const char **names, int32_t *n)
{
    ts *l = &t->l;
    if (v->kind == TS_TENSOR) {
        if (*n >= TS_MAX_STATES) return ts_fail(l, DEFT_E_UNSUPPORTED, "too many results");
        out[*n] = v->as.t;
        names[(*n)++] = name;
        return DEFT_OK;
    }
    if (v->kind != TS_TUPLE && v->kind != TS_LIST && v->kind != TS_DICT) return DEFT_OK;
    const int32_t step = v->kind == TS_DICT ? 2 : 1;
    deft_status s = ts_enter(l);
    for (int32_t i = 0; s == DEFT_OK && i + step <= v->as.list->n; i += step) {
        const ts_value *key = &v->as.list->item[i];
        const char *part = step == 2 && key->kind == TS_STRING
                               ? key->as.s
                               : deft_arena_printf(l->a, "%s.%d", name, (int)i);
        s = part ? add_results(t, &v->as.list->item[i + step - 1], part, out, names, n)
                 : ts_no_memory(l);
    }
    ts_leave(l);
    return s;
}

int32_t ts_results(ts_trial *t, ts_tensor **out, const char **name)
{
    ts *l = &t->l;
    int32_t n = 0;
    const ts_expr *e = returned(t->forward);
    const bool tuple =
        t->result.kind == TS_TUPLE && e && e->kind == TS_E_TUPLE && e->n == t->result.as.list->n;
    if (!tuple) {
        const char *only = t->result.kind == TS_TENSOR ? "actions" : "output";
        if (add_results(t, &t->result, only, out, name, &n) != DEFT_OK) return -1;
    }
    for (int32_t i = 0; tuple && i < e->n; i++) {
        const bool named = e->item[i]->kind == TS_E_NAME && e->item[i]->s[0] != '_';
        const char *part =
            named ? plain_name(l, e->item[i]->s) : deft_arena_printf(l->a, "output%d", (int)i);
        if (!part || add_results(t, &t->result.as.list->item[i], part, out, name, &n) != DEFT_OK)
            return -1;
    }
    if (n) return n;
    (void)ts_fail(l, DEFT_E_UNSUPPORTED, "forward gives %s, in which there is no tensor",
                  ts_kind_name(t->result.kind));
    return -1;
}
