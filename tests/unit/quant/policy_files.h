/* policy_files.h - policies and recordings of tests/golden/policies. */
#ifndef DEFT_TESTS_POLICY_FILES_H
#define DEFT_TESTS_POLICY_FILES_H

#include "check.h"
#include "deft/formats.h"
#include "deft/quant.h"

#include <dirent.h>
#include <string.h>

static inline deft_model *read_policy(const char *path, deft_arena *a, deft_graph **graph)
{
    deft_error err = {0};
    const deft_understand_options opt = {0};
    deft_model *m = NULL;
    deft_status s = deft_onnx_read_file(path, a, graph, &err);
    if (s == DEFT_OK) s = deft_graph_settle(*graph, &err);
    if (s == DEFT_OK) s = deft_understand(*graph, &opt, &m, &err);
    CHECK(s == DEFT_OK, "%s: %s", path, err.text);
    return s == DEFT_OK ? m : NULL;
}

static inline int32_t column(const deft_csv *csv, const char *prefix, int32_t i)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s%d", prefix, (int)i);
    for (int32_t k = 0; k < csv->n_column; k++)
        if (strcmp(csv->name[k], name) == 0) return k;
    CHECK(false, "no column %s", name);
    return 0;
}

static inline deft_status add_rows(deft_calibration *c, const deft_csv *csv, const deft_model *m,
                                   deft_arena *a, deft_error *err)
{
    float *const obs = DEFT_NEW_ARRAY(a, float, m->contract.n_obs);
    float *const act = DEFT_NEW_ARRAY(a, float, m->contract.n_act);
    deft_status s = DEFT_OK;
    for (int32_t r = 0; s == DEFT_OK && r < csv->n_row; r++) {
        const double *const cell = csv->cell + (size_t)r * (size_t)csv->n_column;
        for (int32_t i = 0; i < m->contract.n_obs; i++) obs[i] = (float)cell[column(csv, "obs", i)];
        for (int32_t i = 0; r > 0 && i < m->contract.n_act; i++)
            act[i] = (float)(cell - csv->n_column)[column(csv, "act", i)];
        s = deft_calibration_add(c, obs, r > 0 ? act : NULL, err);
    }
    return s;
}

/* Calibration data of the recording beside the policy, as one episode. */
static inline deft_calibration *read_recording(const char *policy, const deft_model *m,
                                               deft_arena *a)
{
    char path[512];
    deft_error err = {0};
    deft_bytes bytes;
    deft_csv csv;
    deft_calibration *c = NULL;
    (void)snprintf(path, sizeof path, "%.*s.csv", (int)(strlen(policy) - strlen(".onnx")), policy);
    deft_status s = deft_file_read(path, 0, a, &bytes, &err);
    if (s == DEFT_OK) s = deft_csv_read(bytes, path, a, &csv, &err);
    if (s == DEFT_OK) s = deft_calibration_create(m, 0, &c, &err);
    if (s == DEFT_OK) s = add_rows(c, &csv, m, a, &err);
    CHECK(s == DEFT_OK, "%s: %s", path, err.text);
    return c;
}

/* Calls f for every ONNX file of the folder; returns how many there were. */
static inline int each_policy(void (*f)(const char *path))
{
    char folder[400], path[512];
    int n = 0;
    DIR *d = opendir(check_source(folder, sizeof folder, "tests/golden/policies"));
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        const size_t len = strlen(e->d_name);
        if (len < 5 || strcmp(e->d_name + len - 5, ".onnx") != 0 || len > 100) continue;
        (void)snprintf(path, sizeof path, "%s/%.100s", folder, e->d_name);
        f(path);
        n++;
    }
    if (d) closedir(d);
    return n;
}

#endif
