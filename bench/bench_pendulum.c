/* bench_pendulum - TD3 and SAC on the pendulum: seconds and return after 20,000 steps, five seeds.
 *
 *     ninja -C build/release bench_pendulum && build/release/bench/bench_pendulum
 */
#include "deft/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int run(const char *algo, uint64_t seed, int threads)
{
    deft_error err = {0};
    deft_train_config c;
    if (deft_train_defaults(algo, &c, &err) != DEFT_OK) return 1;
    c.hidden[0] = c.hidden[1] = 64;
    c.batch = 100;
    c.steps = 20000;
    c.warmup = 1000;
    c.envs = 1;
    c.actor_rate = c.critic_rate = c.alpha_rate = 1e-3;
    c.eval_every = 5000;
    c.eval_episodes = 10;
    c.seed = seed;
    c.threads = threads;
    deft_env *env = NULL;
    deft_trainer *t = NULL;
    const double start = now();
    const deft_env_config ec = {0};
    int32_t s = deft_env_create("pendulum", &ec, &env, &err);
    if (s == DEFT_OK) s = deft_trainer_create(&c, env, &t, &err);
    double sum = 0;
    int n = 0;
    printf("%s seed %llu:", algo, (unsigned long long)seed);
    while (s == 0) {
        deft_train_report r;
        s = deft_trainer_round(t, &r, &err);
        if (s < 0) break;
        if (r.evaluated) printf(" %.0f@%lld", r.eval_reward, (long long)r.step);
        for (int i = 0; i < r.n_episode; i++) {
            if (r.episode[i].step <= c.steps - 2000) continue;
            sum += r.episode[i].reward;
            n++;
        }
    }
    printf("  last episodes %.1f, %.2f s %s\n", n ? sum / n : 0, now() - start, err.text);
    deft_trainer_destroy(t);
    deft_env_destroy(env);
    return s < 0;
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    for (int algo = 0; algo < 2; algo++) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            if (run(algo ? "sac" : "td3", seed, threads)) return 1;
        }
    }
    return 0;
}
