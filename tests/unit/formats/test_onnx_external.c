/* test_onnx_external.c - tensors kept beside the model: only regular files below its folder. */
#include "check.h"

#include "onnx_model.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void spill(const char *dir, const char *name, const void *data, size_t size)
{
    char path[512];
    deft_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_OK(deft_file_write(path, data, size, &err), err);
}

/* Reads the model with w at `location`; true if that went well. */
static bool reads(const char *dir, const char *location, const char *offset, const char *length)
{
    model m;
    make(&m);
    Onnx__StringStringEntryProto e[3];
    Onnx__StringStringEntryProto *list[3];
    const char *pair[3][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    for (int i = 0; i < 3; i++) {
        onnx__string_string_entry_proto__init(&e[i]);
        char key[16], value[128];
        (void)snprintf(key, sizeof key, "%s", pair[i][0]);
        (void)snprintf(value, sizeof value, "%s", pair[i][1]);
        e[i].key = strdup(key);
        e[i].value = strdup(value);
        list[i] = &e[i];
    }
    m.w.has_data_location = 1;
    m.w.data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    m.w.n_external_data = 3;
    m.w.external_data = list;
    m.w.n_float_data = 0;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/model.onnx", dir);
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    deft_error err = {0};
    bool ok = deft_onnx_read(pack(&m.model.base), path, a, &g, &err) == DEFT_OK;
    CHECK(ok || strstr(err.text, "external data"), "%s", err.text);
    if (ok) ok = g->n_value > 0 && *(const float *)g->value[0].constant->data == 4.5f;
    deft_arena_destroy(a);
    for (int i = 0; i < 3; i++) {
        free(e[i].key);
        free(e[i].value);
    }
    return ok;
}

static void test_external(void)
{
    char root[] = "/tmp/deft-onnx-XXXXXX", dir[64], path[128];
    if (!mkdtemp(root)) return;
    (void)snprintf(dir, sizeof dir, "%s/model", root);
    CHECK(mkdir(dir, 0700) == 0, "%s", dir);
    (void)snprintf(path, sizeof path, "%s/sub", dir);
    CHECK(mkdir(path, 0700) == 0, "%s", path);
    const float data[3] = {1.5f, 4.5f, 7.5f};
    spill(dir, "w.data", data, sizeof data);
    spill(dir, "sub/w.data", data, sizeof data);
    spill(root, "w.data", data, sizeof data);
    (void)snprintf(path, sizeof path, "%s/link", dir);
    CHECK(symlink("../w.data", path) == 0, "symlink");
    (void)snprintf(path, sizeof path, "%s/up", dir);
    CHECK(symlink("..", path) == 0, "symlink");
    (void)snprintf(path, sizeof path, "%s/fifo", dir);
    CHECK(mkfifo(path, 0600) == 0, "fifo");

    CHECK(reads(dir, "w.data", "4", "4"), "a good one");
    CHECK(reads(dir, "./sub/w.data", "4", "4"), "a good one below");
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/w.data", dir);
    CHECK(!reads(dir, absolute, "4", "4"), "absolute");
    CHECK(!reads(dir, "../w.data", "4", "4"), "above");
    CHECK(!reads(dir, "sub/../../w.data", "4", "4"), "above, hidden");
    CHECK(!reads(dir, "link", "4", "4"), "a link");
    CHECK(!reads(dir, "up/w.data", "4", "4"), "a linked folder");
    CHECK(!reads(dir, "fifo", "0", "4"), "a fifo");
    CHECK(!reads(dir, "sub", "0", "4"), "a folder");
    CHECK(!reads(dir, "", "0", "4"), "nothing");
    CHECK(!reads(dir, "missing", "0", "4"), "missing");
    CHECK(!reads(dir, "w.data", "10", "4"), "beyond the end");
    CHECK(!reads(dir, "w.data", "4", "8"), "a length that is not the shape's");
    CHECK(!reads(dir, "w.data", "-4", "4"), "a negative offset");
    CHECK(!reads(dir, "w.data", "99999999999999999999", "4"), "an enormous offset");

    static const char *const made[] = {"model/w.data", "model/sub/w.data", "w.data",
                                       "model/link",   "model/up",         "model/fifo"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, made[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/sub", dir);
    (void)rmdir(path);
    (void)rmdir(dir);
    (void)rmdir(root);
}

int main(void)
{
    test_external();
    return check_report();
}
