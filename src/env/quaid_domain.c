/* quaid_domain.c - draws of deft_domain. The generator is the episode's own: what one part draws
 * depends on nothing but the seed and the step. */
#include "env/quaid_domain.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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

typedef struct field {
    const char *name;
    size_t at; // a double of deft_domain
    double limit;
} field;

#define FIELD(name, limit)                                                                         \
    {                                                                                              \
#name, offsetof(deft_domain, name), limit                                                  \
    }
static const field fields[] = {
    FIELD(current_noise_a, 100), FIELD(angle_noise_rad, 10), FIELD(acc_noise, 1000),
    FIELD(loss, 0.999),          FIELD(friction, 0.999),     FIELD(mass, 0.999),
    FIELD(servo_gain, 0.999),    FIELD(servo_offset_rad, 3), FIELD(push_cm_s, 1000),
    FIELD(push_chance, 1),
};
enum { N_FIELD = sizeof fields / sizeof *fields };

static double get(const deft_domain *c, const field *f)
{
    double value;
    memcpy(&value, (const char *)c + f->at, sizeof value);
    return value;
}

bool quaid_domain_is_zero(const deft_domain *c)
{
    for (size_t i = 0; i < N_FIELD; i++) {
        if (get(c, &fields[i]) != 0) return false;
    }
    return c->delay_max == 0;
}

deft_status quaid_domain_check(const deft_domain *c, deft_error *err)
{
    for (size_t i = 0; i < N_FIELD; i++) {
        const double value = get(c, &fields[i]);
        if (value >= 0 && value <= fields[i].limit) continue;
        return deft_fail(err, DEFT_E_ARG, "%s is %g, not within 0 and %g", fields[i].name, value,
                         fields[i].limit);
    }
    if (c->delay_max >= 0 && c->delay_max <= QUAID_MAX_DELAY) return DEFT_OK;
    return deft_fail(err, DEFT_E_ARG, "delay_max is %d, not within 0 and %d", (int)c->delay_max,
                     QUAID_MAX_DELAY);
}

/* NAME=VALUE, of n bytes. */
static bool set(deft_domain *c, const char *text, size_t n)
{
    char item[64], *end;
    if (n >= sizeof item) return false;
    memcpy(item, text, n);
    item[n] = '\0';
    char *const value = strchr(item, '=');
    if (!value) return false;
    *value = '\0';
    const double x = strtod(value + 1, &end);
    if (end == value + 1 || *end) return false;
    if (strcmp(item, "delay_max") == 0 && x >= 0 && x <= QUAID_MAX_DELAY && x == floor(x)) {
        c->delay_max = (int32_t)x;
        return true;
    }
    for (size_t i = 0; i < N_FIELD; i++) {
        if (strcmp(item, fields[i].name) != 0) continue;
        memcpy((char *)c + fields[i].at, &x, sizeof x);
        return true;
    }
    return false;
}

static deft_status unknown_item(const char *text, size_t n, deft_error *err)
{
    char shown[64], name[64], hint[DEFT_HINT];
    const int length = (int)strcspn(text, "=,");
    (void)snprintf(name, sizeof name, "%.*s", length, text);
    deft_nearest near;
    deft_nearest_begin(&near, name);
    for (size_t i = 0; i < N_FIELD; i++) deft_nearest_offer(&near, fields[i].name);
    deft_nearest_offer(&near, "delay_max");
    deft_nearest_offer(&near, "typical");
    if (near.distance == 0) near.known[0] = '\0'; // it is the number that is wrong
    return deft_fail(err, DEFT_E_ARG,
                     "'%s' is neither 'typical' nor NAME=NUMBER with a NAME of current_noise_a, "
                     "angle_noise_rad, acc_noise, delay_max (0 to 3), loss, friction, mass, "
                     "servo_gain, servo_offset_rad, push_cm_s, push_chance%s",
                     deft_escape(shown, sizeof shown, text, n), deft_nearest_hint(&near, hint));
}

deft_status deft_domain_parse(const char *text, deft_domain *out, deft_error *err)
{
    deft_domain c = {0};
    for (const char *p = text;;) {
        const size_t n = strcspn(p, ",");
        if (n == 7 && strncmp(p, "typical", n) == 0) {
            c = deft_domain_typical();
        } else if (!set(&c, p, n)) {
            return unknown_item(p, n, err);
        }
        if (!p[n]) break;
        p += n + 1;
    }
    const deft_status s = quaid_domain_check(&c, err);
    if (s == DEFT_OK) *out = c;
    return s;
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
