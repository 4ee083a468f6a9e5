/* scene_check.c - walks the XML of a scene and of what it includes, with expat, before MuJoCo does.
 * MuJoCo's own parser takes more than XML; what expat refuses is refused, so that both see the
 * same. */
#include "env/scene_check.h"

#include <expat.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_FILES = 64,         // of XML, each inclusion by itself
    MAX_XML = 8 << 20,      // bytes of all together
    MAX_DEPTH = 64,         // of elements
    MAX_ELEMENTS = 10000,   // replicated ones as often as they are
    MAX_JOINTS = 500,       // degrees of freedom make dense matrices
    MAX_ROWS = 1000,        // of those: actuators, tendons, composites
    MAX_REPEATED = 1000,    // by one element
    MAX_PROBLEM_TEXT = 240, // of an error
};

/* An XML file that waits: what includes it may repeat it. */
typedef struct waiting {
    const char *path, *at; // at: where it is included, NULL: the scene itself
    double times;
} waiting;

typedef struct walk {
    scene_assets *s;
    waiting file[MAX_FILES];
    int n_file;
    uint64_t bytes;
    const char *path, *folder, *shown; // of the one that is read
    XML_Parser parser;
    double times[MAX_DEPTH]; // how often an element at this depth is made
    bool row[MAX_DEPTH];     // its children are rows of dense matrices
    int depth;
    double elements, joints, rows;
    deft_status status;
} walk;

/* A size that an element asks for: the product of the numbers of an attribute. */
typedef struct ask {
    const char *element, *attribute;
    double most;
} ask;
static const ask asks[] = {
    {"composite", "count", MAX_REPEATED},
    {"flexcomp", "count", MAX_REPEATED},
    {"replicate", "count", MAX_REPEATED},
    {"size", "njmax", 4000},
    {"size", "nconmax", 4000},
    {"size", "nstack", 1 << 23},
    {"size", "memory", 64 << 20},
    {"size", "nuserdata", 1 << 16},
    {"size", "nkey", 1 << 10},
    {"size", "nuser_body", 256},
    {"size", "nuser_jnt", 256},
    {"size", "nuser_geom", 256},
    {"size", "nuser_site", 256},
    {"size", "nuser_cam", 256},
    {"size", "nuser_tendon", 256},
    {"size", "nuser_actuator", 256},
    {"size", "nuser_sensor", 256},
    {"numeric", "size", 1 << 16},
    {"user", "dim", 1 << 12},
    {"general", "actdim", 1 << 10},
    {"plugin", "actdim", 1 << 10},
    {"option", "iterations", 10000},
    {"option", "noslip_iterations", 10000},
    {"option", "mpr_iterations", 10000},
};

static const char *const file_attributes[] = {"file",     "fileright", "fileleft", "fileup",
                                              "filedown", "filefront", "fileback"};

/* Names are compared as MuJoCo does for includes, and more generously than it does for others. */
static bool is(const char *x, const char *name)
{
    return strcasecmp(x, name) == 0;
}

static const char *value_of(const char **attr, const char *name)
{
    for (; *attr; attr += 2) {
        if (is(attr[0], name)) return attr[1];
    }
    return NULL;
}

static void fail(walk *w, deft_status s, const char *what)
{
    if (w->status != DEFT_OK) return;
    w->status = deft_fail(w->s->err, s, "%s:%lu: %s", w->shown,
                          (unsigned long)XML_GetCurrentLineNumber(w->parser), what);
    (void)XML_StopParser(w->parser, XML_FALSE);
}

static void fail_from(walk *w, deft_status s) // the text is there
{
    if (s == DEFT_OK || w->status != DEFT_OK) return;
    w->status = s;
    (void)XML_StopParser(w->parser, XML_FALSE);
}

/* The product of the numbers in a text, with MuJoCo's suffixes of bytes. Negative and missing ones
 * mean a default: 1. NAN where there is something else. */
static double numbers(const char *text)
{
    static const char suffix[] = "KMGTPE";
    double product = 1;
    for (const char *s = text; s && *s;) {
        char *end = NULL;
        double v = strtod(s, &end);
        if (end == s) return strspn(s, " \t\r\n") == strlen(s) ? product : (double)NAN;
        const char *const unit = *end ? strchr(suffix, *end & ~0x20) : NULL;
        if (unit) {
            v = ldexp(v, 10 * (int)(unit + 1 - suffix));
            end++;
        }
        if (isnan(v)) return v;
        if (v > 1) product *= v;
        s = end;
    }
    return product;
}

static void check_asks(walk *w, const char *element, const char **attr)
{
    char text[MAX_PROBLEM_TEXT], shown[64];
    for (size_t k = 0; k < sizeof asks / sizeof asks[0]; k++) {
        const char *const v =
            is(element, asks[k].element) ? value_of(attr, asks[k].attribute) : NULL;
        if (!v || numbers(v) <= asks[k].most) continue;
        (void)snprintf(text, sizeof text, "<%s %s=\"%s\">: at most %.0f", asks[k].element,
                       asks[k].attribute, deft_escape(shown, sizeof shown, v, 256), asks[k].most);
        fail(w, DEFT_E_RANGE, text);
    }
}

/* "scene.xml:12", kept. */
static const char *place(walk *w)
{
    const char *const at = deft_arena_printf(w->s->a, "%s:%lu", w->shown,
                                             (unsigned long)XML_GetCurrentLineNumber(w->parser));
    if (!at) fail(w, DEFT_E_SPACE, "no memory to check the scene");
    return at ? at : "";
}

/* Is a name what the file has between its quotes? Expat makes line ends and tabs of an attribute
 * spaces, and MuJoCo would open another file. */
static bool is_literal(const walk *w, const char *name)
{
    int offset = 0, size = 0;
    if (!strchr(name, ' ')) return true;
    const char *const text = XML_GetInputContext(w->parser, &offset, &size);
    const int n = XML_GetCurrentByteCount(w->parser);
    if (!text || n <= 0 || offset < 0 || n > size - offset) return false;
    const int length = (int)strlen(name);
    for (int k = 1; k + length < n; k++) {
        const char *const at = text + offset + k;
        if ((at[-1] == '"' || at[-1] == '\'') && at[length] == at[-1] &&
            memcmp(at, name, (size_t)length) == 0) {
            return true;
        }
    }
    return false;
}

static const char *copied(walk *w, const char *s)
{
    const char *const p = deft_arena_strndup(w->s->a, s, PATH_MAX);
    if (!p) fail(w, DEFT_E_SPACE, "no memory to check the scene");
    return p ? p : "";
}

static void add_asset(walk *w, scene_kind kind, const char *name)
{
    scene_assets *const s = w->s;
    if (!name[0]) return;
    if (s->n_asset == SCENE_MAX_ASSETS) {
        fail(w, DEFT_E_RANGE, "the scene names too many files");
        return;
    }
    s->asset[s->n_asset++] = (scene_asset){kind, copied(w, name), w->folder, place(w)};
}

static void add_dirs(walk *w, const char **attr)
{
    static const char *const names[] = {"meshdir", "texturedir", "assetdir"};
    scene_assets *const s = w->s;
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        const char *const v = value_of(attr, names[k]);
        bool known = !v || !v[0];
        for (int i = 0; !known && i < s->n_dir; i++) known = strcmp(s->dir[i], v) == 0;
        if (known) continue;
        if (s->n_dir == SCENE_MAX_DIRS) {
            fail(w, DEFT_E_RANGE, "the scene names too many folders");
            return;
        }
        s->dir[s->n_dir++] = copied(w, v);
    }
}

/* The scene's folder, then that of the file that includes: MuJoCo's versions differ. Both files are
 * read where there are two. */
static void add_include(walk *w, const char *name)
{
    const char *const folder[2] = {w->s->folder,
                                   strcmp(w->s->folder, w->folder) != 0 ? w->folder : NULL};
    const int before = w->n_file;
    for (int k = 0; k < 2 && folder[k]; k++) {
        const char *const path = scene_join(w->s->a, folder[k], name);
        if (!path) {
            fail(w, DEFT_E_SPACE, "no memory to check the scene");
            return;
        }
        const char *const below = strrchr(path, '/');
        const char *const dir = scene_folder(w->s->a, path);
        const bool there = dir && deft_folder_has(dir[0] ? dir : ".", below ? below + 1 : path);
        if (!there) continue;
        if (w->n_file == MAX_FILES) {
            fail(w, DEFT_E_RANGE, "more than 64 files of XML, or files that include each other");
            return;
        }
        w->file[w->n_file++] = (waiting){path, place(w), w->times[w->depth]};
    }
    if (w->n_file > before) return;
    char text[MAX_PROBLEM_TEXT], shown[160];
    (void)snprintf(text, sizeof text, "there is no file '%s' to include",
                   deft_escape(shown, sizeof shown, name, PATH_MAX));
    fail(w, DEFT_E_IO, text);
}

/* Every attribute that names a file. */
static void check_files(walk *w, const char *element, const char **attr)
{
    const bool xml = is(element, "include") || is(element, "model");
    const scene_kind kind = is(element, "hfield")    ? SCENE_HFIELD
                            : is(element, "texture") ? SCENE_TEXTURE
                                                     : SCENE_MESH;
    for (size_t k = 0; k < sizeof file_attributes / sizeof file_attributes[0]; k++) {
        const char *const v = value_of(attr, file_attributes[k]);
        if (!v || w->status != DEFT_OK) continue;
        if (strlen(v) >= PATH_MAX / 2 || !is_literal(w, v)) {
            fail(w, DEFT_E_FORMAT, "a name of a file that is too long, or has line ends in it");
        } else if (xml) {
            add_include(w, v);
        } else {
            add_asset(w, kind, v);
        }
    }
}

static void count(walk *w, const char *element, const char **attr)
{
    const double times = w->times[w->depth];
    w->elements += times;
    if (is(element, "joint") || is(element, "freejoint")) w->joints += times;
    if (is(element, "composite") || is(element, "flexcomp")) {
        w->rows += times * numbers(value_of(attr, "count"));
    }
    if (w->depth > 0 && w->row[w->depth - 1]) w->rows += times;
    if (w->elements > MAX_ELEMENTS) fail(w, DEFT_E_RANGE, "more than 10000 elements");
    if (w->joints > MAX_JOINTS) fail(w, DEFT_E_RANGE, "more than 500 joints");
    if (w->rows > MAX_ROWS) {
        fail(w, DEFT_E_RANGE, "more than 1000 actuators, tendons and composites");
    }
    if (is(element, "hfield")) {
        const char *const row = value_of(attr, "nrow"), *const column = value_of(attr, "ncol");
        fail_from(w, scene_add_samples(w->s, numbers(row) * numbers(column), place(w)));
    }
    if (is(element, "texture")) {
        const char *const x = value_of(attr, "width"), *const y = value_of(attr, "height");
        // six faces of a cube, whatever its height
        const double n = numbers(x) * fmax(numbers(y), y ? 1 : 6 * numbers(x));
        fail_from(w, scene_add_pixels(w->s, n, place(w)));
    }
}

static void XMLCALL on_start(void *user, const XML_Char *element, const XML_Char **attr)
{
    walk *const w = user;
    if (w->status != DEFT_OK) return;
    if (w->depth == 0 && w->path == w->file[0].path && !is(element, "mujoco")) {
        fail(w, DEFT_E_FORMAT, "not a MuJoCo scene: its root is not <mujoco>");
        return;
    }
    if (w->depth + 1 == MAX_DEPTH) {
        fail(w, DEFT_E_RANGE, "elements are nested deeper than 64");
        return;
    }
    w->row[w->depth] = is(element, "actuator") || is(element, "tendon") || is(element, "equality");
    count(w, element, attr);
    check_asks(w, element, attr);
    check_files(w, element, attr);
    if (is(element, "compiler")) add_dirs(w, attr);
    const double times = w->times[w->depth++];
    w->times[w->depth] =
        is(element, "replicate") ? times * numbers(value_of(attr, "count")) : times;
}

static void XMLCALL on_end(void *user, const XML_Char *element)
{
    walk *const w = user;
    (void)element;
    if (w->status == DEFT_OK && w->depth > 0) w->depth--;
}

static void XMLCALL on_doctype(void *user, const XML_Char *name, const XML_Char *system,
                               const XML_Char *id, int internal)
{
    (void)name, (void)system, (void)id, (void)internal;
    fail(user, DEFT_E_FORMAT, "a document type (<!DOCTYPE>) has no place in a scene");
}

static deft_status parse(walk *w, deft_bytes b)
{
    w->parser = XML_ParserCreate("UTF-8"); // whatever the file says: MuJoCo does not ask either
    if (!w->parser) return deft_fail(w->s->err, DEFT_E_SPACE, "no memory to check the scene");
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, on_start, on_end);
    XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
    const enum XML_Status s = XML_Parse(w->parser, (const char *)b.data, (int)b.size, 1);
    if (s != XML_STATUS_OK && w->status == DEFT_OK) {
        char text[MAX_PROBLEM_TEXT];
        (void)snprintf(text, sizeof text, "not well-formed XML: %s",
                       XML_ErrorString(XML_GetErrorCode(w->parser)));
        fail(w, DEFT_E_FORMAT, text);
    }
    XML_ParserFree(w->parser);
    w->parser = NULL;
    return w->status;
}

/* The next file that waits. */
static deft_status read_file(walk *w, int k)
{
    char shown[256];
    deft_bytes b;
    w->path = w->file[k].path;
    w->shown = deft_escape(shown, sizeof shown, w->path, PATH_MAX);
    w->folder = scene_folder(w->s->a, w->path);
    w->depth = 0;
    w->times[0] = w->file[k].times;
    if (!w->folder) return deft_fail(w->s->err, DEFT_E_SPACE, "no memory to check the scene");
    const deft_status s =
        deft_file_read(w->path, (size_t)(MAX_XML - w->bytes) + 1, w->s->a, &b, w->s->err);
    if (s != DEFT_OK && w->file[k].at) {
        (void)deft_error_prefix(w->s->err, "%s: included", w->file[k].at);
    }
    if (s != DEFT_OK) return s;
    w->bytes += b.size;
    if (w->bytes > MAX_XML) {
        return deft_fail(w->s->err, DEFT_E_SPACE, "%s: the scene has more than %d MiB of XML",
                         w->shown, MAX_XML >> 20);
    }
    return parse(w, b);
}

deft_status scene_check(const char *path, deft_error *err)
{
    deft_arena *const a = deft_arena_create((size_t)64 << 20);
    scene_assets *const s = a ? DEFT_NEW(a, scene_assets) : NULL;
    walk *const w = s ? DEFT_NEW(a, walk) : NULL;
    deft_status e = DEFT_E_SPACE;
    if (w) {
        s->a = a;
        s->err = err;
        s->folder = scene_folder(a, path);
        w->s = s;
        w->file[w->n_file++] = (waiting){path, NULL, 1};
    }
    if (w && s->folder) {
        e = DEFT_OK;
        for (int k = 0; e == DEFT_OK && k < w->n_file; k++) e = read_file(w, k);
        if (e == DEFT_OK) e = scene_assets_check(s);
    } else {
        (void)deft_fail(err, e, "no memory to check the scene");
    }
    deft_arena_destroy(a);
    return e;
}
