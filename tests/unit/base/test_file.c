/* deft_file_write: whole files or none, links and special files as they are. */
#include "check.h"
#include "deft/base.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/deft-test-file-XXXXXX";

static const char *in(const char *name, char path[256])
{
    (void)snprintf(path, 256, "%s/%s", dir, name);
    return path;
}

static bool holds(const char *path, const char *text)
{
    char got[64] = "";
    FILE *const f = fopen(path, "rb");
    const size_t n = f ? fread(got, 1, sizeof got - 1, f) : 0;
    if (f) (void)fclose(f);
    return f && n == strlen(text) && memcmp(got, text, n) == 0;
}

static void check_links(void)
{
    deft_error err = {DEFT_OK, ""};
    char file[256], link[256], dangling[256];
    struct stat st;
    CHECK_OK(deft_file_write(in("file", file), "one", 3, &err), err);
    CHECK(symlink("file", in("link", link)) == 0, "no link");
    CHECK_OK(deft_file_write(link, "other", 5, &err), err);
    CHECK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode), "the link was replaced");
    CHECK(holds(file, "other"), "what it leads to was not");
    CHECK(symlink("nowhere", in("dangling", dangling)) == 0, "no link");
    CHECK_OK(deft_file_write(dangling, "x", 1, &err), err);
    CHECK(holds(dangling, "x"), "a link that leads nowhere");
}

static void check_special(void)
{
    deft_error err = {DEFT_OK, ""};
    char fifo[256], kept[256], opened[64];
    struct stat st;
    CHECK_OK(deft_file_write("/dev/null", "x", 1, &err), err);
    CHECK(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode), "/dev/null is another file now");
    CHECK(mkfifo(in("fifo", fifo), 0600) == 0, "no FIFO");
    const int reader = open(fifo, O_RDONLY | O_NONBLOCK);
    CHECK_OK(deft_file_write(fifo, "hello", 5, &err), err);
    char got[8] = "";
    CHECK(read(reader, got, sizeof got) == 5 && memcmp(got, "hello", 5) == 0, "got %s", got);
    CHECK(stat(fifo, &st) == 0 && S_ISFIFO(st.st_mode), "the FIFO is another file now");
    (void)close(reader);
    const int fd = open(in("kept", kept), O_WRONLY | O_CREAT, 0600);
    (void)snprintf(opened, sizeof opened, "/dev/fd/%d", fd);
    CHECK(deft_file_is_special(opened) && !deft_file_is_special(kept), "which is special");
    CHECK_OK(deft_file_write(opened, "abc", 3, &err), err);
    CHECK(holds(kept, "abc"), "an open file");
    (void)close(fd);
    CHECK(deft_file_write(dir, "x", 1, &err) == DEFT_E_IO, "a folder was written");
}

int main(void)
{
    if (!mkdtemp(dir)) CHECK_SKIP("no folder for temporary files");
    check_links();
    check_special();
    static const char *const made[] = {"file", "link", "dangling", "fifo", "kept", "nowhere"};
    char path[256];
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) (void)unlink(in(made[i], path));
    CHECK(rmdir(dir) == 0, "temporary files are left");
    return check_report();
}
