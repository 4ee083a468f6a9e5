/* not_a_policy.c - files that people take for policies: what they are, and what to do. */
#include "formats/torch_private.h"

#include <stdio.h>
#include <string.h>

static bool begins(deft_bytes b, const char *with, size_t n)
{
    return b.size >= n && memcmp(b.data, with, n) == 0;
}

static bool holds(deft_bytes b, const char *word)
{
    const size_t n = strlen(word), most = b.size < 65536 ? b.size : 65536;
    for (size_t i = 0; i + n <= most; i++)
        if (memcmp(b.data + i, word, n) == 0) return true;
    return false;
}

static const char *say(char *text, size_t n, const char *what)
{
    (void)snprintf(text, n, "%s", what);
    return text;
}

/* "version https://git-lfs...\noid sha256:...\nsize 123\n" */
static const char *pointer(deft_bytes b, char *text, size_t n)
{
    char size[24] = "?";
    for (size_t i = 0; i + 6 < b.size; i++) {
        if (memcmp(b.data + i, "\nsize ", 6) != 0) continue;
        size_t k = 0;
        for (i += 6; i < b.size && k < 20 && b.data[i] >= '0' && b.data[i] <= '9'; i++)
            size[k++] = (char)b.data[i];
        size[k] = '\0';
        break;
    }
    (void)snprintf(
        text, n,
        "not a policy but a Git LFS pointer to a file of %s bytes, which was not fetched: "
        "'git lfs pull' in the clone that it is in (and git-lfs, if it is not installed)",
        size);
    return text;
}

static const char *pickle(deft_bytes b, char *text, size_t n)
{
    if (holds(b, "VecNormalize"))
        return say(text, n,
                   "not a policy but a pickled VecNormalize, the normaliser of a policy's "
                   "observations: give it with the policy, as in deft info model.zip "
                   "--normalizer vecnormalize.pkl");
    return say(text, n,
               "not a policy but a bare pickle: save it with torch.save(policy.state_dict(), "
               "NEW), or export ONNX");
}

const char *deft_format_explain(deft_bytes b, char *text, size_t n)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *what;
    } known[] = {
        {"\x89HDF\r\n\x1a\n", 8, "an HDF5 file, as Keras writes: export the policy as ONNX"},
        {"\x1f\x8b", 2, "a gzip archive: unpack it, and give the policy that is in it"},
        {"\xfd"
         "7zXZ",
         5, "an xz archive: unpack it, and give the policy that is in it"},
        {"7z\xbc\xaf", 4, "a 7z archive: unpack it, and give the policy that is in it"},
        {"\x28\xb5\x2f\xfd", 4, "a zstd archive: unpack it, and give the policy that is in it"},
        {"BZh", 3, "a bzip2 archive: unpack it, and give the policy that is in it"},
        {"Rar!", 4, "a RAR archive: unpack it, and give the policy that is in it"},
        {"\x93NUMPY", 6, "one array of NumPy: a policy has several, with names"},
        {"<!DOCTYPE", 9, "a web page: the download went wrong"},
        {"<!doctype", 9, "a web page: the download went wrong"},
        {"<html", 5, "a web page: the download went wrong"},
        {"GGUF", 4, "a GGUF file, of a language model"},
        {"PK\5\6", 4, "an empty zip archive"},
    };
    char what[200];
    if (begins(b, "version https://git-lfs", 23)) return pointer(b, text, n);
    if (b.size > 2 && b.data[0] == 0x80 && b.data[1] <= 5) return pickle(b, text, n);
    if (b.size >= 8 && memcmp(b.data + 4, "TFL3", 4) == 0)
        return say(text, n,
                   "not a policy that is read: a TensorFlow Lite file; convert it to ONNX");
    if (b.size > 262 && memcmp(b.data + 257, "ustar", 5) == 0)
        return say(text, n,
                   "not a policy but a tar archive: unpack it, and give the policy that is "
                   "in it");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!begins(b, known[i].magic, known[i].n)) continue;
        (void)snprintf(what, sizeof what, "not a policy but %s", known[i].what);
        return say(text, n, what);
    }
    return NULL;
}

/* --- zip archives ---------------------------------------------------------------------------- */

static bool ends(const char *name, const char *tail)
{
    const size_t n = strlen(name), t = strlen(tail);
    return n >= t && strcmp(name + n - t, tail) == 0;
}

bool torch_zip_explain(const torch_zip *z, char *text, size_t n)
{
    static const char *const policy[] = {".zip", ".pt", ".pth", ".onnx", ".safetensors", ".deft"};
    const char *found = NULL, *array = NULL;
    char name[160];
    for (size_t i = 0; i < torch_zip_count(z); i++) {
        const char *entry = torch_zip_name(z, i);
        if (strcmp(entry, "data.pkl") == 0 || ends(entry, "/data.pkl")) return false;
        for (size_t k = 0; k < sizeof policy / sizeof *policy; k++)
            if (!found && ends(entry, policy[k])) found = entry;
        if (!array && ends(entry, ".npy")) array = entry;
    }
    if (torch_zip_has(z, "parameters") && torch_zip_has(z, "parameter_list"))
        return say(text, n,
                   "an archive of Stable-Baselines 2, whose policies TensorFlow runs: not "
                   "read; export ONNX");
    if (found)
        (void)snprintf(text, n,
                       "not a policy but an archive that holds '%s' among others: unpack it, "
                       "and give that",
                       deft_escape(name, sizeof name, found, 1024));
    else if (array)
        (void)snprintf(text, n, "an archive of arrays of NumPy (.npz): not read");
    return found || array;
}
