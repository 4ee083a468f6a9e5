/* fuzz_scene.c - bytes as a scene: it is refused, or passes, without MuJoCo and in bounded time.
 * The files that it names are those of an empty folder and of the whole machine, of which only
 * regular ones are opened. */
#include "env/scene_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64], path[96];

static void leave(void)
{
    (void)unlink(path);
    (void)rmdir(folder);
}

static int enter(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/deft-fuzz-scene-XXXXXX");
    if (!mkdtemp(folder)) return 0;
    (void)snprintf(path, sizeof path, "%s/s.xml", folder);
    return atexit(leave) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_error err = {0};
    if (!path[0] && !enter()) abort();
    FILE *const f = fopen(path, "wb");
    if (!f || (size && fwrite(data, size, 1, f) != 1)) abort();
    (void)fclose(f);
    const deft_status s = scene_check(path, &err);
    if ((s == DEFT_OK) != !err.text[0]) abort(); // what is refused is explained
    return 0;
}
