/* quaid_domain.c - draws of deft_domain. The generator is the episode's own: what one part draws
 * depends on nothing but the seed and the step. */
#include "env/quaid_domain.h"

#include <math.h>
#include <string.h>

#define CM 10.0

deft_domain deft_domain_typical(void)
{
    return (deft_domain){.current_noise_a = 0.05,
                         .angle_noise_rad = 0.01,
                         .acc_noise = 0.3,
                         .delay_max = 2,
                         .loss = 0.02,
                         .friction = 0.4,
                         .mass = 0.15,
                         .servo_gain = 0.15,
                         .servo_offset_rad = 0.03,
                         .push_cm_s = 5,
                         .push_chance = 0.02};
}

bool quaid_domain_is_zero(const deft_domain *c)
{
    const double x[] = {
        c->current_noise_a, c->angle_noise_rad,  c->acc_noise, c->loss,       c->friction, c->mass,
        c->servo_gain,      c->servo_offset_rad, c->push_cm_s, c->push_chance};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        if (x[i] != 0) return false;
    }
    return c->delay_max == 0;
}

deft_status quaid_domain_check(const deft_domain *c, deft_error *err)
{
    const struct {
        const char *name;
        double value, limit;
    } field[] = {
        {"current_noise_a", c->current_noise_a, 100},
        {"angle_noise_rad", c->angle_noise_rad, 10},
        {"acc_noise", c->acc_noise, 1000},
        {"loss", c->loss, 0.999},
        {"friction", c->friction, 0.999},
        {"mass", c->mass, 0.999},
        {"servo_gain", c->servo_gain, 0.999},
        {"servo_offset_rad", c->servo_offset_rad, 3},
        {"push_cm_s", c->push_cm_s, 1000},
        {"push_chance", c->push_chance, 1},
    };
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        if (field[i].value >= 0 && field[i].value <= field[i].limit) continue;
        return deft_fail(err, DEFT_E_ARG, "domain: %s is %g, not within 0 and %g", field[i].name,
                         field[i].value, field[i].limit);
    }
    if (c->delay_max >= 0 && c->delay_max <= QUAID_MAX_DELAY) return DEFT_OK;
    return deft_fail(err, DEFT_E_ARG, "domain: delay_max is %d, not within 0 and %d",
                     (int)c->delay_max, QUAID_MAX_DELAY);
}

static double around_one(deft_rng *rng, double width)
{
    return 1 + deft_rng_uniform(rng, -width, width);
}

deft_status quaid_domain_start(quaid_domain *d, const uint64_t *seed, quaid_sim *sim,
                               deft_error *err)
{
    const deft_domain *c = &d->cfg;
    d->on = seed && !quaid_domain_is_zero(c);
    d->taken = d->delay = 0;
    memset(d->servo_offset, 0, sizeof d->servo_offset);
    if (!d->on) return quaid_sim_vary(sim, NULL, err);
    // The start's velocities are drawn from the seed itself.
    deft_rng_seed_stream(&d->rng, *seed, 1);
    quaid_variation v = {around_one(&d->rng, c->friction), around_one(&d->rng, c->mass), {0}};
    for (int i = 0; i < QUAID_SERVOS; i++) {
        v.servo_gain[i] = around_one(&d->rng, c->servo_gain);
        d->servo_offset[i] =
            (float)deft_rng_uniform(&d->rng, -c->servo_offset_rad, c->servo_offset_rad);
    }
    d->delay = (int32_t)(deft_rng_u64(&d->rng) % ((uint64_t)c->delay_max + 1));
    const bool same = c->friction == 0 && c->mass == 0 && c->servo_gain == 0;
    return quaid_sim_vary(sim, same ? NULL : &v, err);
}

void quaid_domain_push(quaid_domain *d, quaid_sim *sim)
{
    if (!d->on || d->cfg.push_chance == 0) return;
    const double speed = d->cfg.push_cm_s / CM;
    const bool now = deft_rng_uniform(&d->rng, 0, 1) < d->cfg.push_chance;
    const double dx = deft_rng_uniform(&d->rng, -speed, speed);
    const double dy = deft_rng_uniform(&d->rng, -speed, speed);
    if (now) quaid_sim_push(sim, dx, dy);
}

/* In the units that observations are divided to: see quaid.c. */
static void add_noise(quaid_domain *d, float *obs)
{
    static const int leg[] = {0, 1, 2, 8}, angle[] = {4, 6, 7};
    const double half_pi = 1.57079632679489661923;
    double total = 0;
    for (int i = 0; i < 4; i++) {
        const double a =
            (double)obs[leg[i]] * 4 + d->cfg.current_noise_a * deft_rng_normal(&d->rng);
        obs[leg[i]] = (float)(fmax(a, 0) / 4);
        total += fmax(a, 0);
    }
    obs[3] = (float)(total / 8);
    for (int i = 0; i < 3; i++) {
        obs[angle[i]] += (float)(d->cfg.angle_noise_rad * deft_rng_normal(&d->rng) / half_pi);
    }
    obs[5] += (float)(d->cfg.acc_noise * deft_rng_normal(&d->rng) / 20);
}

void quaid_domain_observe(quaid_domain *d, float *obs)
{
    enum { RING = QUAID_MAX_DELAY + 1 };
    if (!d->on) return;
    add_noise(d, obs);
    memcpy(d->sent[d->taken % RING], obs, sizeof d->sent[0]);
    // Before the first one can have arrived, the robot stands: the first is what there is.
    const int32_t from = d->taken > d->delay ? d->taken - d->delay : 0;
    const bool lost = deft_rng_uniform(&d->rng, 0, 1) < d->cfg.loss;
    if (d->taken == 0 || !lost) memcpy(d->seen, d->sent[from % RING], sizeof d->seen);
    memcpy(obs, d->seen, sizeof d->seen);
    d->taken++;
}
