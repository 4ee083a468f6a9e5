/* step_f32.c - float policies. Part of the freestanding runtime.
 *
 * The arena: offsets of the layers' outputs; the state twice (a step reads one half, writes the
 * other, and the halves change places when it succeeded); the last action in the network's units;
 * values; scratch. */
#include "runtime/step.h"

#include <string.h>

enum { ALIGN = 16 };

/* Bytes from the start of the arena. */
typedef struct plan {
    uint32_t state, state_size, values, scratch, size;
} plan;

/* Parts of `values`, in floats, before the layers' outputs. */
typedef struct fixed_values {
    uint32_t obs, applied, act, output;
} fixed_values;

static uint32_t round_up(uint32_t floats)
{
    return (floats + 3u) & ~3u; // 16 bytes
}

static fixed_values fixed_of(uint32_t n_obs, uint32_t n_act)
{
    fixed_values f;
    f.obs = 0;
    f.applied = round_up(n_obs);
    f.act = f.applied + round_up(n_act);
    f.output = f.act + round_up(n_act);
    return f;
}

static float *floats_at(const deft_policy *p, uint32_t offset)
{
    return (float *)(void *)((uint8_t *)p->cfg.arena + offset);
}

/* Lays out the arena; offset (NULL: only count) gets every layer's place. */
static deft_status make_plan(const deft_image *im, uint32_t *offset, plan *out)
{
    uint64_t state = 0, values = fixed_of(im->n_obs, im->n_act).output, scratch = 0;
    values += round_up(im->n_output);
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_layer l;
        deft_image_layer_at(im->data, im->directory, k, &l);
        const uint32_t keeps = deft_layer_state(&l);
        const uint64_t needs = (uint64_t)deft_layer_scratch(&l) + (l.n_segment > 1 ? l.n_in : 0u);
        if (offset) offset[k] = (uint32_t)(keeps ? state : values);
        if (keeps) {
            state += round_up(keeps);
        } else {
            values += round_up(l.n_out);
        }
        if (needs > scratch) scratch = needs;
    }
    const uint64_t at_state = ((uint64_t)im->n_layer * 4 + ALIGN - 1) / ALIGN * ALIGN;
    const uint64_t at_values = at_state + 4 * (2 * state + round_up(im->n_act));
    const uint64_t at_scratch = at_values + 4 * values;
    const uint64_t size = at_scratch + (4 * scratch + ALIGN - 1) / ALIGN * ALIGN;
    if (size > INT32_MAX) return DEFT_E_SPACE;
    out->state = (uint32_t)at_state;
    out->state_size = (uint32_t)(4 * state);
    out->values = (uint32_t)at_values;
    out->scratch = (uint32_t)at_scratch;
    out->size = (uint32_t)size;
    return DEFT_OK;
}

static int32_t size_of(const deft_image *im, int kept)
{
    plan a;
    (void)kept; // all outputs are
    const deft_status s = make_plan(im, NULL, &a);
    return s == DEFT_OK ? (int32_t)a.size : (int32_t)s;
}

static deft_status served(const deft_image *im, const deft_kernels *k)
{
    (void)im;
    return k->f32 ? DEFT_OK : DEFT_E_UNSUPPORTED;
}

static void bind(deft_policy *p, const deft_image *im)
{
    plan a = {0, 0, 0, 0, 0};
    (void)make_plan(im, (uint32_t *)p->cfg.arena, &a);
    p->state_offset = a.state;
    p->state_size = a.state_size;
    p->value_offset = a.values;
    p->scratch_offset = a.scratch;
    p->act_offset = a.values + 4 * fixed_of(p->n_obs, p->n_act).applied;
    memset((uint8_t *)p->cfg.arena + a.values, 0, a.size - a.values);
}

static void reset(deft_policy *p)
{
    p->flags &= (uint16_t) ~(uint16_t)DEFT_POLICY_ODD;
    // both halves and the last action, which lies between them and the values
    memset((uint8_t *)p->cfg.arena + p->state_offset, 0, p->value_offset - p->state_offset);
}

static deft_step step_of(const deft_policy *p)
{
    deft_step s;
    const uint32_t odd = p->flags & DEFT_POLICY_ODD ? 1 : 0;
    s.kernels = p->cfg.kernels->f32;
    s.image = p->cfg.image;
    s.directory = p->directory;
    s.offset = (const uint32_t *)p->cfg.arena;
    s.values = floats_at(p, p->value_offset);
    s.old_state = floats_at(p, p->state_offset + odd * p->state_size);
    s.new_state = floats_at(p, p->state_offset + (1 - odd) * p->state_size);
    s.scratch = floats_at(p, p->scratch_offset);
    s.started = p->flags & DEFT_POLICY_STARTED;
    s.obs = NULL;
    s.prev = NULL;
    return s;
}

static deft_status step(deft_policy *p, const float *obs, const float *applied_prev, float *act)
{
    deft_step s = step_of(p);
    const fixed_values at = fixed_of(p->n_obs, p->n_act);
    deft_image_end front, back;
    deft_image_end_at(s.image + p->front_end, &front);
    deft_image_end_at(s.image + p->back_end, &back);
    float *const last = floats_at(p, p->state_offset + 2 * p->state_size);
    float *const x = s.values + at.obs, *const applied = s.values + at.applied;
    float *const action = s.values + at.act;

    uint32_t clipped = deft_front_end(&front, obs, x, p->n_obs);
    s.obs = x;
    s.prev = last;
    if (applied_prev) {
        deft_back_end_inverse(&back, applied_prev, applied, p->n_act);
        s.prev = applied;
    }
    for (uint32_t k = 0; k < p->n_layer; k++) deft_step_layer(&s, k);
    const float *const y =
        deft_step_gather(&s, s.image + p->outputs, p->n_out_segment, s.values + at.output);

    // Weights are finite, but sums of huge observations need not be.
    if (!deft_all_finite(y, p->n_output)) return DEFT_E_RANGE;
    if (!deft_all_finite(s.new_state, p->state_size / 4)) return DEFT_E_RANGE;
    if (p->flags & DEFT_POLICY_DISCRETE) {
        deft_choose(y, p->choices ? s.image + p->choices : NULL, p->n_output, action, p->n_act);
    } else {
        clipped += deft_back_end(&back, y, action, p->n_act);
    }
    deft_back_end_inverse(&back, action, applied, p->n_act);
    if (!deft_all_finite(action, p->n_act) || !deft_all_finite(applied, p->n_act))
        return DEFT_E_RANGE;

    memcpy(last, applied, p->n_act * sizeof *last);
    memcpy(act, action, p->n_act * sizeof *act);
    p->flags ^= DEFT_POLICY_ODD;
    deft_policy_clipped(p, clipped);
    return DEFT_OK;
}

static void layer(const deft_policy *p, uint32_t index, deft_layer_output *out)
{
    const deft_step s = step_of(p); // the new state has become the old one
    deft_image_layer l;
    deft_image_layer_at(s.image, s.directory, index, &l);
    out->data = (deft_layer_state(&l) ? s.old_state : s.values) + s.offset[index];
    out->n = l.n_out;
    out->format = DEFT_NUM_F32;
}

static int rounds(const deft_policy *p)
{
    return deft_floats_round() && deft_floats_round_f32(p->cfg.kernels->f32->dense_rows);
}

const deft_engine deft_engine_f32 = {size_of, served, bind, reset, step, layer, rounds};
