/* c_ends.c - what stands around the layers of emitted C: from observations to integers, from
 * integers to actions, and the functions that users call. */
#include "emit/c_write.h"

static const char *or_null(const void *p, const char *name)
{
    return p ? name : "NULL";
}

static void front_end(c_writer *w)
{
    const uint32_t n = w->policy.n_obs;
    deft_image_front e;
    deft_image_front_at(w->step.image + w->policy.front_end, w->policy.n_act, &e);
    if (e.offset) c_array_f32(w, "obs_offset", e.offset, n);
    if (e.scale) c_array_f32(w, "obs_scale", e.scale, n);
    if (e.prev_scale) c_array_f32(w, "previous_scale", e.prev_scale, w->policy.n_act);
    if (e.lo) c_array_s16(w, "obs_lo", e.lo, n);
    if (e.hi) c_array_s16(w, "obs_hi", e.hi, n);
    (void)fprintf(w->f, "static const deft_image_front front = {%s, %s, %s, %s, %s};\n",
                  or_null(e.offset, "obs_offset"), or_null(e.scale, "obs_scale"),
                  or_null(e.prev_scale, "previous_scale"), or_null(e.lo, "obs_lo"),
                  or_null(e.hi, "obs_hi"));
}

static bool has_previous(const c_writer *w)
{
    deft_image_front e;
    deft_image_front_at(w->step.image + w->policy.front_end, w->policy.n_act, &e);
    return e.prev_scale != NULL;
}

void c_end(c_writer *w, const char *prefix, const char *name, const deft_image_end *e, uint32_t n)
{
    static const char *const part[4] = {"offset", "scale", "lo", "hi"};
    const float *const array[4] = {e->offset, e->scale, e->lo, e->hi};
    char names[4][16] = {"NULL", "NULL", "NULL", "NULL"};
    for (int i = 0; i < 4; i++) {
        if (!array[i]) continue;
        (void)snprintf(names[i], sizeof names[i], "%s_%s", prefix, part[i]);
        c_array_f32(w, names[i], array[i], n);
    }
    (void)fprintf(w->f, "static const deft_image_end %s = {%s, %s, %s, %s};\n", name, names[0],
                  names[1], names[2], names[3]);
}

/* The outputs that the next discrete action chooses from. */
static uint32_t choices_of(const c_writer *w, uint32_t action)
{
    const uint8_t *const choices = w->image.choices ? w->image.data + w->image.choices : NULL;
    return choices ? deft_image_u16(choices + (size_t)2 * action) : w->policy.n_output;
}

/* n elements of a segment, from its element `from` on: outputs at, at + 1, ... */
typedef struct piece {
    deft_image_segment g;
    uint32_t from, n, at;
    uint32_t first; // output with which the discrete action begins
} piece;

static void put_piece(const c_writer *w, const deft_image_back *b, const piece *p, bool discrete)
{
    const unsigned at = (unsigned)p->at, from = (unsigned)p->from;
    (void)fprintf(w->f, "    for (uint32_t i = 0; i < %u; i++) {\n        const int32_t q = ",
                  (unsigned)p->n);
    c_place(w, deft_qstep_source(&w->step, p->g), b->format == DEFT_NUM_U8, w->f);
    if (from) {
        (void)fprintf(w->f, "[%u + i];\n", from);
    } else {
        (void)fputs("[i];\n", w->f);
    }
    (void)fprintf(w->f, "        const float v = single((float)(q - %d) * out_scale[%u + i]);\n",
                  (int)b->zero, at);
    if (discrete) {
        (void)fprintf(w->f,
                      "        if (%u + i == 0 || v > most) {\n            most = v;\n"
                      "            best = %u + i;\n        }\n    }\n",
                      at - (unsigned)p->first, at - (unsigned)p->first);
    } else {
        (void)fprintf(w->f, "        act[%u + i] = to_action(&back, %u + i, v, &clipped);\n    }\n",
                      at, at);
    }
}

/* Outputs of the network, in pieces that lie apart, to actions. */
static void put_actions(const c_writer *w, const deft_image_back *b, bool discrete)
{
    (void)fprintf(w->f,
                  "\nstatic uint32_t actions(%s_state *s, float *act)\n{\n"
                  "    uint32_t clipped = 0;\n%s",
                  w->name, discrete ? "    float most = 0;\n    uint32_t best = 0;\n" : "");
    uint32_t at = 0, action = 0, first = 0;
    uint32_t end = discrete ? choices_of(w, 0) : w->policy.n_output;
    for (uint32_t k = 0; k < w->policy.n_out_segment; k++) {
        const deft_image_segment g = deft_image_segment_at(w->step.image + w->policy.outputs, k);
        for (uint32_t from = 0; from < g.length;) {
            const uint32_t left = g.length - from, n = left < end - at ? left : end - at;
            put_piece(w, b, &(piece){g, from, n, at, first}, discrete);
            from += n;
            at += n;
            if (!discrete || at < end) continue;
            (void)fprintf(w->f, "    act[%u] = (float)best;\n", (unsigned)action++);
            first = end;
            if (action < w->policy.n_act) end += choices_of(w, action);
        }
    }
    (void)fputs("    return clipped;\n}\n", w->f);
}

void c_write_ends(c_writer *w)
{
    deft_image_back b;
    deft_image_back_at(w->step.image + w->policy.back_end, w->policy.n_output, &b);
    const bool discrete = w->policy.flags & DEFT_POLICY_DISCRETE;
    (void)fputs("\n/* Between the world's floats and the integers. */\n", w->f);
    front_end(w);
    // the previous of discrete actions is the number as it is
    c_array_f32(w, "out_scale", b.out_scale, w->policy.n_output);
    if (!discrete || has_previous(w)) c_end(w, "act", "back", &b.contract, w->policy.n_act);
    put_actions(w, &b, discrete);
}

static void reset(const c_writer *w)
{
    (void)fprintf(w->f, "\nvoid %s_reset(%s_state *s)\n{\n    memset(s, 0, sizeof *s);\n", w->name,
                  w->name);
    for (uint32_t k = 0; k < w->image.n_layer; k++) {
        deft_image_qlayer l;
        deft_image_qlayer_at(w->step.image, w->step.directory, k, &l);
        const uint32_t n = deft_image_qstate(&l);
        if (!n || !l.zero) continue;
        (void)fprintf(w->f, "    memset(at8(s, %u), %d, %u);\n",
                      (unsigned)(w->policy.state_offset + 16u * l.place), (int)l.zero, (unsigned)n);
    }
    (void)fputs("}\n", w->f);
}

/* New states that were kept apart replace the old ones. */
static void replace_states(const c_writer *w)
{
    for (uint32_t k = 0; k < w->image.n_layer; k++) {
        deft_image_qlayer l;
        deft_image_qlayer_at(w->step.image, w->step.directory, k, &l);
        if (!(l.flags & DEFT_FLAG_DOUBLE)) continue;
        (void)fprintf(w->f, "    memcpy(at8(s, %u), ",
                      (unsigned)(w->policy.state_offset + 16u * l.place));
        c_place(w, deft_qstep_output(&w->step, k, &l), true, w->f);
        (void)fprintf(w->f, ", %u);\n", 2u * l.n_out);
    }
}

static void step(const c_writer *w)
{
    const unsigned n_obs = w->policy.n_obs, n_act = w->policy.n_act;
    const bool previous = has_previous(w);
    (void)fprintf(
        w->f,
        "\nint %s_step(%s_state *s, const float *obs, const float *applied_prev, float *act)\n{\n"
        "    if (!deft_all_finite(obs, %u)) return 1;\n"
        "    if (applied_prev && !deft_all_finite(applied_prev, %u)) return 1;\n"
        "    uint32_t clipped = deft_front_end_q(&front, obs, at16(s, %u), %u);\n",
        w->name, w->name, n_obs, n_act, (unsigned)w->policy.value_offset, n_obs);
    if (previous) {
        (void)fprintf(w->f,
                      "    if (applied_prev) clipped += deft_previous_q(&front, &back, "
                      "applied_prev, at16(s, 0), %u);\n",
                      n_act);
    }
    for (uint32_t k = 0; k < w->image.n_layer; k++) {
        (void)fprintf(w->f, "    layer_%u(s);\n", (unsigned)k);
    }
    (void)fputs("    clipped += actions(s, act);\n", w->f);
    if (previous) {
        (void)fprintf(w->f, "    clipped += deft_previous_q(&front, &back, act, at16(s, 0), %u);\n",
                      n_act);
    }
    replace_states(w);
    (void)fputs("    s->started = 1;\n"
                "    s->saturated = clipped > UINT32_MAX - s->saturated ? UINT32_MAX : "
                "s->saturated + clipped;\n"
                "    return 0;\n}\n",
                w->f);
}

void c_write_selftest(c_writer *w)
{
    const char *const name = w->name;
    // floats round, whatever the policy
    const char *const rounds =
        w->image.integer ? "deft_floats_round()"
                         : "deft_floats_round() && deft_floats_round_f32(deft_dense_rows_f32_ref)";
    if (!w->policy.selftest) {
        (void)fprintf(w->f,
                      "\nint %s_selftest(%s_state *s)\n{\n    %s_reset(s);\n"
                      "    return !(%s); /* the image has no steps */\n}\n",
                      name, name, name, rounds);
        return;
    }
    const uint8_t *const payload = w->image.data + w->policy.selftest;
    const uint32_t steps = deft_image_u16(payload), n_obs = w->policy.n_obs,
                   n_act = w->policy.n_act;
    const float *const obs = (const float *)(const void *)(payload + 4);
    (void)fputc('\n', w->f);
    c_array_f32(w, "test_obs", obs, (size_t)steps * n_obs);
    c_array_f32(w, "test_act", obs + (size_t)steps * n_obs, (size_t)steps * n_act);
    (void)fprintf(w->f,
                  "\nint %s_selftest(%s_state *s)\n{\n"
                  "    int bad = !(%s);\n"
                  "    float act[%u];\n"
                  "#if defined(__AVR__)\n    float obs[%u]; /* flash is not memory */\n"
                  "#else\n    const float *obs;\n#endif\n"
                  "    %s_reset(s);\n"
                  "    for (uint32_t t = 0; t < %u && !bad; t++) {\n"
                  "#if defined(__AVR__)\n"
                  "        for (uint32_t i = 0; i < %u; i++) obs[i] = test_obs[t * %u + i];\n"
                  "#else\n        obs = test_obs + t * %u;\n#endif\n"
                  "        bad = %s_step(s, obs, NULL, act);\n"
                  "        for (uint32_t i = 0; i < %u && !bad; i++) {\n"
                  "            const float want = test_act[t * %u + i];\n"
                  "            bad = memcmp(&act[i], &want, sizeof want) != 0;\n        }\n    }\n"
                  "    %s_reset(s);\n    return bad;\n}\n",
                  name, name, rounds, (unsigned)n_act, (unsigned)n_obs, name, (unsigned)steps,
                  (unsigned)n_obs, (unsigned)n_obs, (unsigned)n_obs, name, (unsigned)n_act,
                  (unsigned)n_act, name);
}

void c_write_api(c_writer *w)
{
    reset(w);
    step(w);
    c_write_selftest(w);
}
