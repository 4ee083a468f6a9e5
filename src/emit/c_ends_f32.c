/* c_ends_f32.c - what stands around the layers of an emitted float policy. */
#include "emit/c_write.h"

static bool discrete(const c_writer *w)
{
    return w->image.flags & DEFT_IMAGE_DISCRETE;
}

void c_write_ends_f32(c_writer *w)
{
    deft_image_end e;
    (void)fputs("\n/* The contract. */\n", w->f);
    deft_image_end_at(w->image.data + w->image.front_end, &e);
    c_end(w, "obs", "front", &e, w->image.n_obs);
    deft_image_end_at(w->image.data + w->image.back_end, &e);
    c_end(w, "act", "back", &e, w->image.n_act);
}

static void put_step_begin(const c_writer *w)
{
    const unsigned n_obs = w->image.n_obs, n_act = w->image.n_act;
    (void)fprintf(
        w->f,
        "\nint %s_step(%s_state *s, const float *obs, const float *applied_prev, float *act)\n{\n"
        "    if (!deft_all_finite(obs, %u)) return 1;\n"
        "    if (applied_prev && !deft_all_finite(applied_prev, %u)) return 1;\n"
        "    uint32_t clipped = deft_front_end(&front, obs, at(s, %u), %u);\n"
        "    if (applied_prev) {\n"
        "        deft_back_end_inverse(&back, applied_prev, at(s, %u), %u);\n"
        "    } else {\n"
        "        memcpy(at(s, %u), at(s, %u), %u);\n    }\n",
        w->name, w->name, n_obs, n_act, (unsigned)w->floats.obs, n_obs, (unsigned)w->floats.prev,
        n_act, (unsigned)w->floats.prev, (unsigned)w->floats.last, 4 * n_act);
}

static void put_choices(const c_writer *w, uint32_t y)
{
    const uint8_t *const choices = w->image.choices ? w->image.data + w->image.choices : NULL;
    for (uint32_t k = 0; k < w->image.n_act; k++) {
        const uint32_t n = choices ? deft_image_u16(choices + (size_t)2 * k) : w->image.n_output;
        (void)fprintf(w->f, "    at(s, %u)[%u] = deft_argmax(at(s, %u), %u);\n",
                      (unsigned)w->floats.act, (unsigned)k, (unsigned)y, (unsigned)n);
        y += n;
    }
}

static void put_step_end(const c_writer *w, uint32_t y)
{
    const c_floats *const p = &w->floats;
    const unsigned n_act = w->image.n_act, n_out = w->image.n_output;
    (void)fprintf(w->f, "    if (!deft_all_finite(at(s, %u), %u)) return 1;\n", (unsigned)y, n_out);
    if (p->n_state) {
        (void)fprintf(w->f, "    if (!deft_all_finite(at(s, %u), %u)) return 1;\n",
                      (unsigned)p->new_state, (unsigned)p->n_state);
    }
    if (discrete(w)) {
        put_choices(w, y);
    } else {
        (void)fprintf(w->f, "    clipped += deft_back_end(&back, at(s, %u), at(s, %u), %u);\n",
                      (unsigned)y, (unsigned)p->act, n_act);
    }
    (void)fprintf(w->f,
                  "    deft_back_end_inverse(&back, at(s, %u), at(s, %u), %u);\n"
                  "    if (!deft_all_finite(at(s, %u), %u) || !deft_all_finite(at(s, %u), %u)) "
                  "return 1;\n"
                  "    memcpy(at(s, %u), at(s, %u), %u);\n"
                  "    memcpy(act, at(s, %u), %u);\n",
                  (unsigned)p->act, (unsigned)p->prev, n_act, (unsigned)p->act, n_act,
                  (unsigned)p->prev, n_act, (unsigned)p->last, (unsigned)p->prev, 4 * n_act,
                  (unsigned)p->act, 4 * n_act);
    if (p->n_state) {
        (void)fprintf(w->f, "    memcpy(at(s, %u), at(s, %u), %u);\n", (unsigned)p->old_state,
                      (unsigned)p->new_state, 4 * (unsigned)p->n_state);
    }
    (void)fputs("    s->started = 1;\n"
                "    s->saturated = clipped > UINT32_MAX - s->saturated ? UINT32_MAX : "
                "s->saturated + clipped;\n"
                "    return 0;\n}\n",
                w->f);
}

void c_write_api_f32(c_writer *w)
{
    (void)fprintf(w->f, "\nvoid %s_reset(%s_state *s)\n{\n    memset(s, 0, sizeof *s);\n}\n",
                  w->name, w->name);
    put_step_begin(w);
    for (uint32_t k = 0; k < w->image.n_layer; k++) {
        (void)fprintf(w->f, "    layer_%u(s);\n", (unsigned)k);
    }
    const uint8_t *const outputs = w->image.data + w->image.outputs;
    uint32_t y = w->floats.out;
    c_gather_f32(w, outputs, w->image.n_out_segment, y);
    if (w->image.n_out_segment == 1) y = c_source_f32(w, deft_image_segment_at(outputs, 0));
    put_step_end(w, y);
    c_write_selftest(w);
}
