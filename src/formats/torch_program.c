/* torch_program.c - a TorchScript archive to the graph that its program computes. */
#include "formats/torch_script.h"

#include <limits.h>
#include <string.h>

/* Memory: so much, and so many bytes for each of the file's. */
enum { MAX_ROUNDS = 8, FIXED = 96 << 20, PER_BYTE = 32 };
static const size_t graph_limit = (size_t)256 << 20;

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "more memory than a program may take");
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* The folder is the first that has both code and a data.pkl; *found: there is one. */
static deft_status find_folder(torch_archive *r, bool *found)
{
    *found = false;
    for (size_t i = 0; i < torch_zip_count(r->zip); i++) {
        const char *name = torch_zip_name(r->zip, i), *slash = strchr(name, '/');
        if (!slash) continue;
        if (strcmp(slash + 1, "model.json") == 0)
            return deft_fail(r->err, DEFT_E_UNSUPPORTED,
                             "a TorchScript archive of before PyTorch 1.4 (it has a model.json): "
                             "save it again with a newer torch.jit");
        if (begins(slash, "/.data/ts_code/"))
            return deft_fail(r->err, DEFT_E_UNSUPPORTED,
                             "a torch.package with TorchScript inside: save the module with "
                             "torch.jit.save");
        if (*found || !begins(slash, "/code/")) continue;
        r->root = r->folder = deft_arena_strndup(r->a, name, (size_t)(slash + 1 - name));
        const char *data = r->folder ? deft_arena_printf(r->a, "%sdata.pkl", r->folder) : NULL;
        if (!data) return no_memory(r->err);
        *found = torch_zip_has(r->zip, data);
    }
    return DEFT_OK;
}

static deft_status open_program(ts_program *p, bool *found)
{
    deft_status s = find_folder(p->archive, found);
    if (s != DEFT_OK || !*found) return s;
    *found = false;
    s = torch_archive_byteorder(p->archive);
    if (s == DEFT_OK) s = torch_archive_pickle(p->archive, "data.pkl", &p->root);
    if (s == DEFT_OK) s = torch_archive_pickle(p->archive, "constants.pkl", &p->constants);
    if (s != DEFT_OK) return s;
    if (!p->root || p->root->kind != PICKLE_OBJECT ||
        p->root->as.object.type->kind != PICKLE_GLOBAL)
        return deft_fail(p->err, DEFT_E_FORMAT, "data.pkl holds %s, not a module",
                         p->root ? pickle_kind_name(p->root->kind) : "nothing");
    return ts_has_methods(p, found);
}

/* --- states ---------------------------------------------------------------------------------- */

/* Runs the program with its states as inputs until it changes no others. */
static deft_status settle_states(ts_program *p, const ts_spec *spec, ts_states *states, ts_trial *t)
{
    bool more = true;
    for (int round = 0; more; round++) {
        if (round == MAX_ROUNDS)
            return deft_fail(p->err, DEFT_E_UNSUPPORTED,
                             "the program's attributes change from step to step in ways that are "
                             "no state of a network (a counter, a list that grows)");
        deft_status s = ts_try(p, spec, states->n ? states : NULL, NULL, t);
        if (s == DEFT_OK) s = ts_find_states(t, states, &more);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

/* The first step, from what the archive holds or what reset sets, as a graph without states. */
static deft_status first_step(ts_program *p, const ts_spec *spec, const ts_states *states,
                              const ts_function *reset, deft_arena *a, deft_graph **out)
{
    ts_trial t;
    const deft_status s = ts_try(p, spec, NULL, reset, &t);
    if (s != DEFT_OK) return reset ? (deft_error_prefix(p->err, "%s()", reset->name), s) : s;
    return ts_build(&t, states, a, out);
}

/* Zeros must be where an episode starts: what the program does first, after reset if it has one,
 * must be what the graph does with a state of zeros. */
static deft_status check_start(ts_program *p, const ts_spec *spec, const ts_states *states,
                               deft_graph *g)
{
    const ts_function *reset = NULL;
    deft_graph *first = NULL, *stored = NULL;
    bool same = false, plain = true;
    deft_arena *a = deft_arena_create(graph_limit);
    deft_status s = a ? ts_reset(p, &reset) : no_memory(p->err);
    if (s == DEFT_OK) s = first_step(p, spec, states, reset, a, &first);
    if (s == DEFT_OK) s = ts_compare(first, g, &same, p->err);
    if (s == DEFT_OK && same && reset) {
        s = first_step(p, spec, states, NULL, a, &stored);
        if (s == DEFT_OK) s = ts_compare(stored, g, &plain, p->err);
    }
    deft_arena_destroy(a);
    if (s != DEFT_OK) return s;
    if (!same)
        return deft_fail(p->err, DEFT_E_UNSUPPORTED,
                         "state '%s' starts an episode with other values than zeros%s",
                         states->state[0].label, reset ? "" : " (and no method reset sets them)");
    if (!plain)
        g->meta[g->n_meta++] =
            (deft_meta){"torchscript.note", "the archive was saved in the middle of an episode: "
                                            "the state starts from zeros, as reset() sets it"};
    return DEFT_OK;
}

/* --- all of it ------------------------------------------------------------------------------- */

static deft_status make_graph(ts_program *p, int32_t n_obs, deft_arena *a, deft_graph **out)
{
    ts_spec *spec = DEFT_NEW(p->a, ts_spec);
    ts_states *states = DEFT_NEW(p->a, ts_states);
    ts_trial *t = DEFT_NEW(p->a, ts_trial);
    const char *note = NULL;
    deft_graph *g = NULL;
    if (!spec || !states || !t) return no_memory(p->err);
    deft_status s = ts_read_spec(p, spec);
    if (s == DEFT_OK) s = ts_find_shapes(p, n_obs, spec, &note);
    if (s == DEFT_OK) s = settle_states(p, spec, states, t);
    if (s == DEFT_OK) s = ts_build(t, states, a, &g);
    if (s == DEFT_OK && states->n) s = check_start(p, spec, states, g);
    if (s != DEFT_OK) return s;
    if (note) {
        note = deft_arena_strndup(a, note, strlen(note));
        if (!note) return no_memory(p->err);
        g->meta[g->n_meta++] = (deft_meta){"torchscript.note", note};
    }
    *p->err = (deft_error){DEFT_OK, ""};
    *out = g;
    return DEFT_OK;
}

/* Room for all tensors of the pickles. */
static deft_status make_room(ts_program *p)
{
    torch_found found = {0};
    deft_status s = torch_collect(p->root, false, p->a, &found, p->err);
    if (s == DEFT_OK && p->constants) s = torch_collect(p->constants, true, p->a, &found, p->err);
    if (s != DEFT_OK) return s;
    p->room_stored = (int32_t)found.n + 1;
    p->archive->loaded = DEFT_NEW_ARRAY(p->a, torch_loaded, p->room_stored);
    p->stored = DEFT_NEW_ARRAY(p->a, ts_stored, p->room_stored);
    p->views = found.view;
    p->n_view = (int32_t)found.n;
    return p->archive->loaded && p->stored ? DEFT_OK : no_memory(p->err);
}

static deft_status run(ts_program *p, const deft_torchscript_options *opt, deft_arena *a,
                       deft_graph **out)
{
    bool found = false;
    p->names.a = p->a;
    deft_status s = open_program(p, &found);
    if (s == DEFT_OK && found) s = make_room(p);
    return s == DEFT_OK && found ? make_graph(p, opt ? opt->n_obs : 0, a, out) : s;
}

deft_status deft_torchscript_read(deft_bytes bytes, const char *path,
                                  const deft_torchscript_options *opt, deft_arena *a,
                                  deft_graph **out, deft_error *err)
{
    *out = NULL;
    if (bytes.size < 4 || memcmp(bytes.data, "PK\3\4", 4) != 0) return DEFT_OK;
    char name[200];
    (void)deft_escape(name, sizeof name, path ? path : "(memory)", PATH_MAX);
    deft_error mine = {DEFT_OK, ""};
    torch_archive archive = {.a = deft_arena_create(FIXED + PER_BYTE * bytes.size), .err = &mine};
    ts_program p = {.archive = &archive,
                    .a = archive.a,
                    .run = deft_arena_create(FIXED + 2 * (PER_BYTE * bytes.size)),
                    .err = &mine};
    p.steps = opt && opt->steps ? opt->steps : (int64_t)1 << 27;
    p.work = opt && opt->work ? opt->work : (int64_t)1 << 33;
    deft_status s =
        p.a && p.run ? torch_zip_open(bytes, p.a, &archive.zip, &mine) : no_memory(&mine);
    if (s == DEFT_OK) s = run(&p, opt, a, out);
    if (s == DEFT_OK && *out) {
        (*out)->source = deft_arena_strndup(a, path ? path : "", PATH_MAX);
        (*out)->producer = "TorchScript";
        (*out)->size = bytes.size;
        deft_sha256(bytes.data, bytes.size, (*out)->sha256);
        if (!(*out)->source) s = no_memory(&mine);
    }
    torch_zip_close(archive.zip);
    deft_arena_destroy(p.run);
    deft_arena_destroy(archive.a);
    if (s == DEFT_OK) return DEFT_OK;
    *out = NULL;
    if (err) *err = mine;
    return deft_error_prefix(err, "%s", name), s;
}
