/* claim.c - nothing that the user made is written over. */
#include "claim.h"

#include "output.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

void cli_claim_begin(cli_claim *k, const cli_command *c, deft_arena *arena)
{
    *k = (cli_claim){.command = c, .arena = arena};
}

void cli_claim_force(cli_claim *k, bool force)
{
    k->can_force = true;
    k->force = force;
}

static void add(cli_claim *k, cli_claim_path **list, cli_claim_path x)
{
    const bool log = x.product == DEFT_PRODUCT_LOG; // has no place in a stream
    if (!x.path || (strcmp(x.path, "-") == 0 && !log)) return;
    cli_claim_path *const p = DEFT_NEW(k->arena, cli_claim_path);
    k->no_memory = k->no_memory || !p;
    if (!p) return;
    *p = x;
    p->next = *list;
    *list = p;
}

void cli_claim_reads(cli_claim *k, const char *what, const char *path)
{
    add(k, &k->in, (cli_claim_path){.path = path, .what = what});
}

void cli_claim_writes(cli_claim *k, const char *what, const char *path, deft_product product)
{
    add(k, &k->out, (cli_claim_path){.path = path, .what = what, .product = product});
}

void cli_claim_reads_policies(cli_claim *k, char **path, int n, const deft_load_options *opt)
{
    for (int i = 0; i < n; i++) cli_claim_reads(k, "the policy", path[i]);
    cli_claim_reads(k, "--encoder", opt->encoder);
    cli_claim_reads(k, "--against", opt->against);
    cli_claim_reads(k, "--contract", opt->contract); // a name that is no file does no harm
}

void cli_claim_reads_episodes(cli_claim *k, const cli_episodes *e)
{
    cli_claim_reads(k, "--scene", e->scene);
}

/* --- which file is it ------------------------------------------------------------------------ */

/* A file, or a place in a folder where there is none yet. */
typedef struct place {
    bool known;
    dev_t device;
    ino_t number;     // of the file; of the folder where name is set
    const char *name; // in the folder
} place;

static const char *folder_of(const char *path, char folder[PATH_MAX], const char **name)
{
    const char *const slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (n >= PATH_MAX) return NULL;
    memcpy(folder, path, n);
    memcpy(folder + n, !slash ? "." : n == 0 ? "/" : "", slash && n ? 1 : 2);
    return folder;
}

static place place_of(const char *path)
{
    struct stat st;
    char folder[PATH_MAX];
    const char *name = NULL;
    if (stat(path, &st) == 0) return (place){true, st.st_dev, st.st_ino, NULL};
    if (!folder_of(path, folder, &name) || stat(folder, &st) != 0) return (place){.known = false};
    return (place){true, st.st_dev, st.st_ino, name};
}

static bool same_place(const char *a, const char *b)
{
    const place x = place_of(a), y = place_of(b);
    if (!x.known || !y.known || x.device != y.device || x.number != y.number) return false;
    return !x.name == !y.name && (!x.name || strcmp(x.name, y.name) == 0);
}

/* --- endings --------------------------------------------------------------------------------- */

typedef struct ending {
    const char *text;
    deft_product product; // 0: something that no subcommand writes
    const char *called;
} ending;

static const ending endings[] = {
    {".deft", DEFT_PRODUCT_IMAGE, "a .deft image"},
    {".onnx", DEFT_PRODUCT_ONNX, "an ONNX graph"},
    {".c", DEFT_PRODUCT_C, "C"},
    {".h", DEFT_PRODUCT_C, "C"},
    {".csv", DEFT_PRODUCT_TABLE, "CSV"},
    {".csv", DEFT_PRODUCT_SWEEP, "CSV"},
    {".html", DEFT_PRODUCT_PAGE, "an HTML page"},
    {".htm", DEFT_PRODUCT_PAGE, "an HTML page"},
    {".svg", DEFT_PRODUCT_PICTURE, "an SVG picture"},
    {".sqlite", DEFT_PRODUCT_LOG, "an SQLite database"},
    {".sqlite3", DEFT_PRODUCT_LOG, "an SQLite database"},
    {".db", DEFT_PRODUCT_LOG, "an SQLite database"},
    {".json", 0, "JSON"},
    {".pt", 0, "a PyTorch file"},
    {".pth", 0, "a PyTorch file"},
    {".safetensors", 0, "a safetensors file"},
    {".npy", 0, "a NumPy array"},
    {".npz", 0, "NumPy arrays"},
    {".xml", 0, "XML"},
    {".md", DEFT_PRODUCT_MANUAL, "Markdown"},
    {".py", 0, "Python"},
    {".zip", 0, "an archive"},
};
enum { N_ENDING = sizeof endings / sizeof *endings };

static const ending *ending_of_product(deft_product p)
{
    for (int i = 0; i < N_ENDING; i++) {
        if (endings[i].product == p) return &endings[i];
    }
    return &endings[0];
}

/* An ending that says that the file is something else; NULL: it is right, or nobody knows it. */
static const ending *wrong_ending(const cli_claim_path *o)
{
    const ending *wrong = NULL;
    const char *const slash = strrchr(o->path, '/'), *const dot = strrchr(o->path, '.');
    if (!dot || (slash && dot < slash)) return NULL;
    for (int i = 0; i < N_ENDING; i++) {
        if (strcasecmp(dot, endings[i].text) != 0) continue;
        if (endings[i].product == o->product) return NULL;
        wrong = &endings[i];
    }
    return wrong;
}

/* --- checking -------------------------------------------------------------------------------- */

static const char *shown(const cli_claim *k, const char *path)
{
    return cli_escaped(path, k->arena);
}

static int check_ending(const cli_claim *k, const cli_claim_path *o)
{
    const ending *const wrong = wrong_ending(o), *const right = ending_of_product(o->product);
    if (!wrong) return CLI_OK;
    return cli_misuse(k->command,
                      "%s: by its ending this is %s, but %s writes %s: give it another ending, "
                      "as in policy%s",
                      shown(k, o->path), wrong->called, o->what, right->called, right->text);
}

static int check_inputs(const cli_claim *k, const cli_claim_path *o)
{
    for (const cli_claim_path *i = k->in; i; i = i->next) {
        if (!same_place(i->path, o->path) || deft_file_is_special(o->path)) continue;
        return cli_fail_text(k->command,
                             "%s: %s would write over what is read (%s, %s): give another output",
                             shown(k, o->path), o->what, i->what, shown(k, i->path));
    }
    for (const cli_claim_path *p = o->next; p; p = p->next) {
        if (!same_place(p->path, o->path) || deft_file_is_special(o->path)) continue;
        return cli_fail_text(k->command, "%s: both %s and %s would be written there",
                             shown(k, o->path), p->what, o->what);
    }
    return CLI_OK;
}

/* It can be made where it is not there. */
static int check_folder(const cli_claim *k, const cli_claim_path *o)
{
    char folder[PATH_MAX];
    const char *name = NULL;
    struct stat st;
    if (!folder_of(o->path, folder, &name)) {
        return cli_fail_text(k->command, "%s: the path is too long", shown(k, o->path));
    }
    if (!*name) return cli_fail_text(k->command, "%s: is a folder", shown(k, o->path));
    if (stat(folder, &st) != 0 || (S_ISDIR(st.st_mode) && access(folder, W_OK | X_OK) != 0)) {
        return cli_fail_text(k->command, "%s: cannot create: %s", shown(k, o->path),
                             strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) return CLI_OK;
    return cli_fail_text(k->command, "%s: cannot create: %s is not a folder", shown(k, o->path),
                         shown(k, folder));
}

static int refuse(const cli_claim *k, const cli_claim_path *o, const char *why)
{
    const char *const remedy =
        k->can_force ? "--force writes over it, or give another output" : "give another one";
    return cli_fail_text(k->command, "%s: %s: %s (%s)", shown(k, o->path), why, remedy, o->what);
}

/* A log is appended to, whatever is there, and SQLite takes what stands beside it for its own. */
static int check_log(const cli_claim *k, const cli_claim_path *o)
{
    static const char *const beside[] = {"-journal", "-wal"};
    struct stat st;
    if (strcmp(o->path, "-") == 0 || deft_file_is_special(o->path)) {
        return cli_fail_text(k->command, "%s: %s needs a regular file", shown(k, o->path), o->what);
    }
    if (lstat(o->path, &st) == 0) {
        if (deft_product_origin(o->path, o->product) == DEFT_ORIGIN_OWN) return CLI_OK;
        return cli_fail_text(k->command,
                             "%s: exists and is not a log of episodes that Deft wrote; %s only "
                             "appends to such: give another file",
                             shown(k, o->path), o->what);
    }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        const char *const other = deft_arena_printf(k->arena, "%s%s", o->path, beside[i]);
        if (!other) return cli_fail_text(k->command, "out of memory");
        if (lstat(other, &st) != 0) continue;
        return cli_fail_text(k->command,
                             "%s: exists, but no database that it belongs to: give another file",
                             shown(k, other));
    }
    return check_folder(k, o);
}

static int check_existing(const cli_claim *k, const cli_claim_path *o)
{
    struct stat st;
    if (o->product == DEFT_PRODUCT_LOG) return check_log(k, o);
    if (deft_file_is_special(o->path)) return CLI_OK;
    if (lstat(o->path, &st) != 0) return check_folder(k, o);
    const bool link = S_ISLNK(st.st_mode);
    if (link && stat(o->path, &st) != 0) {
        return k->force ? check_folder(k, o)
                        : refuse(k, o, "is a symbolic link that leads nowhere");
    }
    if (S_ISDIR(st.st_mode)) {
        return cli_fail_text(k->command, "%s: is a folder, and %s takes a file", shown(k, o->path),
                             o->what);
    }
    const int status = link ? CLI_OK : check_folder(k, o);
    if (status != CLI_OK || k->force) return status;
    switch (deft_product_origin(o->path, o->product)) {
    case DEFT_ORIGIN_OWN:
        return CLI_OK;
    case DEFT_ORIGIN_CHANGED:
        return refuse(k, o, "was changed since Deft wrote it");
    case DEFT_ORIGIN_OTHER:
    default:
        return refuse(k, o,
                      o->product == DEFT_PRODUCT_TABLE ? "exists already"
                                                       : "exists, and Deft did not write it");
    }
}

int cli_claim_check(const cli_claim *k)
{
    if (k->no_memory) return cli_fail_text(k->command, "out of memory");
    int status = CLI_OK;
    for (const cli_claim_path *o = k->out; o && status == CLI_OK; o = o->next) {
        if (!deft_file_is_special(o->path)) status = check_ending(k, o);
    }
    for (const cli_claim_path *o = k->out; o && status == CLI_OK; o = o->next) {
        status = check_inputs(k, o);
    }
    for (const cli_claim_path *o = k->out; o && status == CLI_OK; o = o->next) {
        status = check_existing(k, o);
    }
    return status;
}
