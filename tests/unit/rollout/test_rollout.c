/* Episodes on threads over a small environment: the same whatever the number of jobs, progress,
 * cancelling, errors. The log is in test_log.c. */
#include "../emit/random_model.h"
#include "check.h"
#include "deft/emit.h"
#include "deft/rollout.h"
#include "fake_env.h"

#include <pthread.h>

enum { EPISODES = 23 };

static deft_rollout_result run(const deft_controller *c, const deft_env *env,
                               deft_rollout_config cfg, deft_status want, deft_error *err)
{
    deft_rollout_result r;
    *err = (deft_error){0};
    const deft_status s = deft_rollout_run(c, env, &cfg, &r, err);
    CHECK(s == want && err->status == want, "status %d: %s", s, err->text);
    return r;
}

/* inference time apart */
static bool same_episode(const deft_episode *a, const deft_episode *b)
{
    return a->reward == b->reward && a->distance_cm == b->distance_cm &&
           a->heading_error_rad == b->heading_error_rad && isnan(a->torque) && isnan(b->torque) &&
           a->current_a == b->current_a && a->steps == b->steps && a->terminated == b->terminated;
}

/* The loop as the header promises it, by hand. */
static deft_episode by_hand(const deft_controller *from, uint64_t seed, int32_t number)
{
    deft_controller *c = NULL;
    deft_env *env = NULL;
    deft_error err = {0};
    deft_rng rng;
    float obs[FAKE_OBS], act[FAKE_ACT];
    deft_env_step_result x = {0};
    deft_episode e = {.torque = (double)NAN};
    CHECK_OK(deft_controller_clone(from, &c, &err), err);
    CHECK_OK(deft_env_create("fake", NULL, &env, &err), err);
    deft_rng_seed_stream(&rng, seed, (uint64_t)number);
    const uint64_t start = deft_rng_u64(&rng);
    CHECK_OK(deft_env_reset(env, &start, obs, &err), err);
    deft_controller_reset(c);
    while (!x.terminated && !x.truncated) {
        CHECK_OK(deft_controller_step(c, obs, NULL, act, &err), err);
        CHECK_OK(deft_env_step(env, act, obs, &x, &err), err);
        e.reward += x.reward;
        e.heading_error_rad += x.metrics.heading_error_rad;
        e.steps++;
    }
    e.distance_cm = x.metrics.distance_cm;
    e.heading_error_rad /= e.steps;
    e.current_a = 2;
    e.terminated = x.terminated;
    deft_controller_destroy(c);
    deft_env_destroy(env);
    return e;
}

static void check_same_whatever_jobs(const deft_controller *c, const deft_env *env)
{
    deft_error err;
    deft_rollout_result one = {0};
    for (int32_t jobs = 1; jobs <= 5; jobs++) {
        const deft_rollout_config cfg = {.episodes = EPISODES, .seed = 9, .jobs = jobs};
        deft_rollout_result r = run(c, env, cfg, DEFT_OK, &err);
        int64_t steps = 0;
        CHECK(r.n_episode == EPISODES, "%d", r.n_episode);
        for (int32_t k = 0; k < r.n_episode; k++) {
            const deft_episode want = jobs == 1 ? by_hand(c, cfg.seed, k) : one.episode[k];
            CHECK(same_episode(&r.episode[k], &want), "jobs %d, episode %d", jobs, k);
            CHECK(r.episode[k].inference_us > 0, "no time");
            steps += r.episode[k].steps;
        }
        CHECK(r.steps == steps, "%lld", (long long)r.steps);
        CHECK(r.reward.n == EPISODES && r.reward.sd > 0 && r.torque.n == 0, "statistics");
        CHECK(r.wall_seconds > 0, "no time");
        if (jobs == 1)
            one = r;
        else
            deft_rollout_free(&r);
    }
    // fewer episodes are the first of them; another seed gives others
    deft_rollout_result few =
        run(c, env, (deft_rollout_config){.episodes = 2, .seed = 9, .jobs = 8}, DEFT_OK, &err);
    CHECK(few.n_episode == 2 && same_episode(&few.episode[1], &one.episode[1]), "the first");
    deft_rollout_free(&few);
    deft_rollout_result other = run(c, env, (deft_rollout_config){.seed = 10}, DEFT_OK, &err);
    CHECK(other.n_episode == 10, "ten by default, not %d", other.n_episode);
    CHECK(!same_episode(&other.episode[0], &one.episode[0]), "another seed, the same episode");
    deft_rollout_free(&other);
    deft_rollout_free(&one);
    deft_rollout_free(NULL);
}

static void check_unperturbed(const deft_controller *c, const deft_env *env)
{
    deft_error err;
    const deft_rollout_config cfg = {.episodes = 3, .unperturbed = true, .jobs = 2};
    deft_rollout_result r = run(c, env, cfg, DEFT_OK, &err);
    for (int32_t k = 1; k < r.n_episode; k++)
        CHECK(same_episode(&r.episode[k], &r.episode[0]), "episode %d", k);
    CHECK(r.reward.sd < 1e-9, "%g", r.reward.sd);
    deft_rollout_free(&r);
}

typedef struct watch {
    pthread_t thread;
    int32_t calls, last, stop_at;
    int64_t steps;
    bool ordered;
} watch;

static int on_progress(void *user, int32_t episodes, int64_t steps)
{
    watch *w = user;
    w->ordered = w->ordered && episodes >= w->last && steps >= w->steps &&
                 pthread_equal(w->thread, pthread_self());
    w->last = episodes;
    w->steps = steps;
    w->calls++;
    return w->stop_at && episodes >= w->stop_at;
}

static void check_progress(const deft_controller *c, const deft_env *env)
{
    deft_error err;
    watch w = {.thread = pthread_self(), .ordered = true};
    deft_rollout_config cfg = {
        .episodes = EPISODES, .jobs = 3, .progress = on_progress, .user = &w};
    deft_rollout_result r = run(c, env, cfg, DEFT_OK, &err);
    CHECK(w.ordered && w.calls >= EPISODES && w.last == EPISODES, "%d calls, last %d", w.calls,
          w.last);
    CHECK(w.steps == r.steps, "%lld of %lld", (long long)w.steps, (long long)r.steps);
    deft_rollout_free(&r);

    // an episode of more than half a second is watched too
    w = (watch){.thread = pthread_self(), .ordered = true};
    cfg.episodes = 1;
    cfg.unperturbed = true;
    fake_mood.step_ns = 10000000;
    r = run(c, env, cfg, DEFT_OK, &err);
    CHECK(w.ordered && w.calls >= 3 && w.calls <= 12, "%d calls in %g s", w.calls, r.wall_seconds);
    fake_mood.step_ns = 0;
    deft_rollout_free(&r);
}

static void check_cancel(const deft_controller *c, const deft_env *env)
{
    deft_error err;
    watch w = {.thread = pthread_self(), .ordered = true, .stop_at = 5};
    const deft_rollout_config cfg = {
        .episodes = 100000, .jobs = 3, .progress = on_progress, .user = &w};
    deft_rollout_result r = run(c, env, cfg, DEFT_E_CANCELLED, &err);
    CHECK(r.n_episode >= 5 && r.n_episode < 50000, "%d episodes", r.n_episode);
    CHECK(w.calls == 5 || w.last == 5, "called again: %d, %d", w.calls, w.last);
    CHECK(r.reward.n == r.n_episode, "statistics of what is there");
    CHECK(strstr(err.text, "of 100000 episodes"), "%s", err.text);
    deft_rollout_free(&r);
}

static void check_errors(const deft_controller *c, const deft_env *env)
{
    deft_error err;
    // whichever episode fails first is the one that is told, and those before it are kept
    fake_mood.n_fail = 2;
    for (int i = 0; i < 2; i++) {
        deft_rng rng;
        deft_rng_seed_stream(&rng, 3, i ? 6 : 11);
        fake_mood.fail_seed[i] = deft_rng_u64(&rng);
    }
    for (int32_t jobs = 1; jobs <= 4; jobs++) {
        const deft_rollout_config cfg = {.episodes = EPISODES, .seed = 3, .jobs = jobs};
        deft_rollout_result r = run(c, env, cfg, DEFT_E_RANGE, &err);
        CHECK(strcmp(err.text, "episode 6: step 4: the physics diverged") == 0, "%s", err.text);
        CHECK(r.n_episode == 6, "%d", r.n_episode);
        deft_rollout_free(&r);
    }
    fake_mood.n_fail = 0;
    deft_rollout_result r = run(c, env, (deft_rollout_config){.episodes = -1}, DEFT_E_ARG, &err);
    CHECK(r.n_episode == 0 && !r.episode, "something came out");
    r = run(c, env, (deft_rollout_config){.log = "/no/such/folder/x.sqlite"}, DEFT_E_IO, &err);
    CHECK(strstr(err.text, "/no/such/folder/x.sqlite"), "%s", err.text);
    CHECK(r.n_episode == 0, "something came out");
}

static void check_mismatch(deft_rng *rng, const deft_env *env, deft_arena *a)
{
    deft_controller *c = NULL;
    deft_error err = {0};
    deft_bytes image = {0};
    deft_model *m = paper_model(rng, a, false);
    m->contract.n_obs = FAKE_OBS + FAKE_ACT;
    CHECK_OK(deft_image_write(m, a, &image, &err), err);
    CHECK_OK(deft_controller_from_image(image, NULL, &c, &err), err);
    deft_rollout_result r = run(c, env, (deft_rollout_config){0}, DEFT_E_MISMATCH, &err);
    CHECK(strstr(err.text, "does not feed the actions back"), "%s", err.text);
    deft_rollout_free(&r);
    deft_controller_destroy(c);
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_rng rng;
    deft_error err = {0};
    deft_bytes image = {0};
    deft_controller *c = NULL;
    deft_env *env = NULL;
    deft_rng_seed(&rng, 1);
    CHECK_OK(deft_image_write(paper_model(&rng, a, true), a, &image, &err), err);
    CHECK_OK(deft_controller_from_image(image, NULL, &c, &err), err);
    CHECK_OK(deft_env_create("fake", NULL, &env, &err), err);
    check_same_whatever_jobs(c, env);
    check_unperturbed(c, env);
    check_progress(c, env);
    check_cancel(c, env);
    check_errors(c, env);
    check_mismatch(&rng, env, a);
    deft_controller_destroy(c);
    deft_env_destroy(env);
    deft_arena_destroy(a);
    return check_report();
}
