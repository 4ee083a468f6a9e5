/* Leases: one of many processes gets a folder, and again when its holder is gone or gives no sign.
 */
#include "app/lease.h"
#include "check.h"

#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(int ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

/* In a process of its own; exits with 1 if it got the lease, which it keeps as it ends. */
static pid_t contend(const char *dir)
{
    const pid_t pid = fork();
    if (pid != 0) return pid;
    lease_watch w = {.beat = 0};
    lease *l = NULL;
    deft_error err = {0};
    const int32_t s = lease_take(dir, 60, &w, &l, &err);
    pause_ms(100); // beside the others
    _exit(s == DEFT_OK ? 1 : s == 1 ? 0 : 2);
}

static int winners(const char *dir, int n)
{
    pid_t pid[16];
    int won = 0;
    for (int i = 0; i < n; i++) pid[i] = contend(dir);
    for (int i = 0; i < n; i++) {
        int status = 0;
        CHECK(waitpid(pid[i], &status, 0) == pid[i] && WIFEXITED(status), "a child is lost");
        CHECK(WEXITSTATUS(status) < 2, "an error");
        won += WEXITSTATUS(status) == 1;
    }
    return won;
}

static void test_contention(const char *dir)
{
    for (int round = 0; round < 12; round++) { // from the second on: of a dead one
        const int won = winners(dir, 8);
        CHECK(won == 1, "%d of 8 processes got the lease in round %d", won, round);
    }
}

static void test_holding(const char *dir)
{
    deft_error err = {0};
    lease_watch w = {.beat = 0};
    lease *l = NULL, *other = NULL;
    lease_info info;
    CHECK(lease_take(dir, 60, &w, &l, &err) == DEFT_OK, "of a dead process: %s", err.text);
    CHECK(lease_take(dir, 60, &w, &other, &err) == 1 && !other, "one more got it");
    CHECK_OK(lease_check(l, &err), err);
    CHECK(lease_read(dir, &info) && info.pid == (long)getpid() && info.host[0], "pid %ld",
          info.pid);
    lease_release(l);
    CHECK(!lease_read(dir, &info), "somebody holds what was released");
    lease_release(NULL);
}

/* A lease that says nothing is dead when that has been so for the limit; one with beats lives. */
static void test_limit(const char *dir, deft_arena *a)
{
    deft_error err = {0};
    lease_watch w = {.beat = 0}, w2 = {.beat = 0};
    lease *l = NULL, *other = NULL;
    const char *const path = deft_arena_printf(a, "%s/lease.000007", dir);
    static const char *const texts[] = {
        "", "{\"machine\": 3, \"pid\": []}",
        "{\"machine\": \"elsewhere\", \"token\": \"x\", \"pid\": 1, \"beat\": 9}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK_OK(deft_file_write(path, texts[i], strlen(texts[i]), &err), err);
        w = (lease_watch){.beat = 0};
        CHECK(lease_take(dir, 0.2, &w, &l, &err) == 1, "taken at first sight");
        pause_ms(100);
        CHECK(lease_take(dir, 0.2, &w, &l, &err) == 1, "taken too early");
        pause_ms(150);
        CHECK(lease_take(dir, 0.3, &w, &l, &err) == 1, "another limit");
        CHECK(lease_take(dir, 0.2, &w, &l, &err) == DEFT_OK, "not taken");
        CHECK(access(path, F_OK) != 0, "the old one stays");
        if (i + 1 < sizeof texts / sizeof *texts) lease_release(l);
    }
    lease_info info;
    CHECK(lease_read(dir, &info) && isnan(info.reward), "a reward before any was told");
    lease_tell(l, 5, 9, -12.5);
    for (int i = 0; i < 6; i++) { // its beats come each 0.2 / 6 s
        CHECK(lease_take(dir, 0.2, &w2, &other, &err) == 1, "taken from one that lives");
        pause_ms(100);
    }
    CHECK(lease_read(dir, &info) && info.step == 5 && info.steps == 9 && info.reward == -12.5,
          "what it told");
    // overtaken, as after a long stop: it notices, and leaves the new one alone
    const char *const newer = deft_arena_printf(a, "%s/lease.000009", dir);
    CHECK_OK(deft_file_write(newer, texts[2], strlen(texts[2]), &err), err);
    CHECK(lease_check(l, &err) == DEFT_E_CANCELLED, "does not notice");
    lease_release(l);
    CHECK(access(newer, F_OK) == 0, "took the new one away");
    CHECK(unlink(newer) == 0, "gone");
}

int main(void)
{
    char dir[] = "/tmp/deft-lease-XXXXXX", command[64];
    deft_arena *const a = deft_arena_create(0);
    CHECK(a && mkdtemp(dir), "no folder");
    test_contention(dir);
    test_holding(dir);
    test_limit(dir, a);
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0, "%s stays", dir);
    deft_arena_destroy(a);
    return check_report();
}
