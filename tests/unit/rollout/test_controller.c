/* Images and graphs behind one face: against the reference interpreter, state and previous action
 * fed back, clones, and what does not fit an environment. */
#include "../emit/random_model.h"
#include "check.h"
#include "deft/emit.h"
#include "deft/formats.h"
#include "deft/rollout.h"
#include "rollout/graph_policy.h"

#include <math.h>

enum { STEPS = 30, OBS = 17, ACT = 8, HIDDEN = 64 };

static const float lo[ACT] = {-1, -1, -1, -1, -1, -1, -1, -1}, hi[ACT] = {1, 1, 1, 1, 1, 1, 1, 1};

static deft_env_spec robot(void)
{
    return (deft_env_spec){.name = "robot",
                           .n_obs = OBS,
                           .n_act = ACT,
                           .act_lo = lo,
                           .act_hi = hi,
                           .max_steps = 10,
                           .period_s = 0.1,
                           .previous_action_first = true};
}

/* The controller's actions and hidden state against the interpreter's, twice: a reset between. */
static void compare(deft_controller *c, const deft_model *m, int32_t top, float tolerance)
{
    deft_model_eval *e = NULL;
    deft_error err = {0};
    deft_rng r;
    deft_rng_seed(&r, 5);
    CHECK_OK(deft_model_eval_create(m, &e, &err), err);
    for (int t = 0; e && t < 2 * STEPS; t++) {
        float obs[OBS], applied[ACT], want[ACT], got[ACT], worst = 0;
        if (t % STEPS == 0) {
            deft_model_eval_reset(e);
            deft_controller_reset(c);
        }
        for (int i = 0; i < OBS; i++) obs[i] = (float)deft_rng_normal(&r);
        for (int i = 0; i < ACT; i++) applied[i] = (float)deft_rng_uniform(&r, -1, 1);
        const float *prev = t % 3 == 2 ? applied : NULL;
        CHECK(deft_model_eval_step(e, obs, prev, want) == DEFT_OK, "interpreter");
        CHECK_OK(deft_controller_step(c, obs, prev, got, &err), err);
        for (int i = 0; i < ACT; i++) worst = fmaxf(worst, fabsf(want[i] - got[i]));
        int32_t n = -1;
        const float *h = deft_controller_hidden(c, &n);
        CHECK((h != NULL) == (top >= 0) && n == (h ? HIDDEN : 0), "hidden: %d", n);
        const float *wanted_h = top >= 0 ? deft_model_eval_layer(e, top) : NULL;
        for (int i = 0; h && i < n; i++) worst = fmaxf(worst, fabsf(wanted_h[i] - h[i]));
        CHECK(worst <= tolerance, "step %d: %g", t, (double)worst);
    }
    deft_model_eval_destroy(e);
}

static deft_bytes image_of(const deft_model *m, deft_arena *a)
{
    deft_bytes image = {0};
    deft_error err = {0};
    CHECK_OK(deft_image_write(m, a, &image, &err), err);
    return image;
}

static deft_graph *graph_of(const deft_model *m, deft_arena *a)
{
    deft_bytes onnx = {0};
    deft_graph *g = NULL;
    deft_error err = {0};
    CHECK_OK(deft_onnx_write(m, a, &onnx, &err), err);
    CHECK_OK(deft_onnx_read(onnx, NULL, a, &g, &err), err);
    return g;
}

static void check_image(const deft_model *m, int32_t top, deft_arena *a)
{
    deft_controller *c = NULL, *clone = NULL;
    deft_error err = {0};
    const deft_env_spec spec = robot();
    CHECK_OK(deft_controller_from_image(image_of(m, a), NULL, &c, &err), err);
    CHECK(deft_controller_n_obs(c) == OBS && deft_controller_n_act(c) == ACT, "sizes");
    CHECK_OK(deft_controller_bind(c, &spec, &err), err);
    compare(c, m, top, 0);
    CHECK_OK(deft_controller_clone(c, &clone, &err), err);
    compare(clone, m, top, 0);
    deft_controller_destroy(c);
    deft_controller_destroy(clone);
}

/* The graph that our own writer makes: "obs", "prev_action", "h_in" to "action", "h_out". */
static void check_graph(const deft_model *m, int32_t top, deft_arena *a)
{
    deft_controller *c = NULL;
    deft_error err = {0};
    const deft_env_spec spec = robot();
    CHECK_OK(deft_controller_from_graph(graph_of(m, a), &c, &err), err);
    if (!c) return;
    CHECK(deft_controller_n_obs(c) == OBS && deft_controller_n_act(c) == ACT, "sizes");
    CHECK_OK(deft_controller_bind(c, &spec, &err), err);
    compare(c, m, top, 2e-6f);
    deft_controller_destroy(c);
}

/* Previous actions as the first of the observations, as RA policies have them: the model's PREV
 * becomes OBS 0 to 7. */
static deft_model *with_previous_as_observations(const deft_model *m, deft_arena *a)
{
    deft_model *n = deft_arena_copy(a, m, sizeof *m);
    n->contract.n_obs = ACT + OBS;
    n->layer = deft_arena_copy(a, m->layer, (size_t)m->n_layer * sizeof *m->layer);
    for (int32_t k = 0; k < n->n_layer; k++) {
        deft_layer *l = &n->layer[k];
        l->in = deft_arena_copy(a, l->in, (size_t)l->n_segment * sizeof *l->in);
        for (int32_t i = 0; i < l->n_segment; i++) {
            if (l->in[i].kind == DEFT_SRC_OBS) l->in[i].offset += ACT;
            if (l->in[i].kind == DEFT_SRC_PREV) l->in[i].kind = DEFT_SRC_OBS;
        }
    }
    return n;
}

static void check_previous_first(const deft_model *m, deft_arena *a)
{
    deft_controller *c = NULL, *clone = NULL;
    deft_error err = {0};
    const deft_env_spec spec = robot();
    deft_env_spec other = spec;
    other.previous_action_first = false;
    const deft_model *flat = with_previous_as_observations(m, a);
    CHECK_OK(deft_controller_from_graph(graph_of(flat, a), &c, &err), err);
    if (!c) return;
    CHECK(deft_controller_n_obs(c) == ACT + OBS, "%d", deft_controller_n_obs(c));
    CHECK(deft_controller_bind(c, &other, &err) == DEFT_E_MISMATCH, "bound");
    CHECK_OK(deft_controller_bind(c, &spec, &err), err);
    CHECK(deft_controller_n_obs(c) == OBS, "%d", deft_controller_n_obs(c));
    compare(c, m, 2, 2e-6f);
    CHECK_OK(deft_controller_clone(c, &clone, &err), err); // knows it too
    compare(clone, m, 2, 2e-6f);
    deft_controller_destroy(clone);
    deft_controller_destroy(c);

    // the same as an image is told what to do
    CHECK_OK(deft_controller_from_image(image_of(flat, a), NULL, &c, &err), err);
    CHECK(deft_controller_bind(c, &spec, &err) == DEFT_E_MISMATCH, "bound");
    CHECK(strstr(err.text, "25 observations: 8 previous actions and the 17"), "%s", err.text);
    deft_controller_destroy(c);
}

static void check_refusals(deft_model *m, deft_arena *a)
{
    deft_controller *c = NULL;
    deft_error err = {0};
    deft_env_spec spec = robot();
    const deft_bytes image = image_of(m, a);
    CHECK_OK(deft_controller_from_image(image, NULL, &c, &err), err);
    spec.n_act = 1;
    CHECK(deft_controller_bind(c, &spec, &err) == DEFT_E_MISMATCH, "bound");
    CHECK(strstr(err.text, "8 actions, 'robot' takes 1"), "%s", err.text);
    spec.n_act = ACT;
    spec.n_obs = 3;
    CHECK(deft_controller_bind(c, &spec, &err) == DEFT_E_MISMATCH, "bound");
    CHECK(strstr(err.text, "17 observations, 'robot' gives 3"), "%s", err.text);
    float obs[OBS] = {0}, act[ACT];
    obs[3] = NAN;
    CHECK(deft_controller_step(c, obs, NULL, act, &err) == DEFT_E_RANGE && err.text[0], "NaN");
    deft_controller_destroy(c);

    const deft_bytes odd = {image.data + 1, image.size - 1}, cut = {image.data, image.size - 1};
    CHECK(deft_controller_from_image(odd, NULL, &c, &err) == DEFT_E_ARG && !c, "%s", err.text);
    CHECK(deft_controller_from_image(cut, NULL, &c, &err) == DEFT_E_FORMAT && !c, "%s", err.text);

    spec = robot();
    spec.n_act = 1;
    m->contract.discrete = true;
    m->contract.n_act = 1;
    CHECK_OK(deft_controller_from_image(image_of(m, a), NULL, &c, &err), err);
    CHECK(deft_controller_bind(c, &spec, &err) == DEFT_E_MISMATCH, "bound");
    CHECK(strstr(err.text, "one of a list"), "%s", err.text);
    deft_controller_destroy(c);
    deft_controller_destroy(NULL);
}

/* --- ports by shape, name and order ---------------------------------------------------------- */

typedef struct ports_case {
    const char *in[4], *out[4]; // "name:a.b.c" with dimensions of one digit
    int32_t feeds[4], action, hidden;
} ports_case;

static int32_t parse_ports(const char *const *text, deft_value *v, deft_port *p, deft_tensor *t)
{
    int32_t n = 0;
    for (; n < 4 && text[n]; n++) {
        const char *dims = strchr(text[n], ':');
        static char name[8][32];
        char *copy = name[p[n].value];
        memset(copy, 0, sizeof name[0]);
        memcpy(copy, text[n], (size_t)(dims - text[n]));
        v[p[n].value].name = copy;
        t[n] = (deft_tensor){.dtype = DEFT_F32, .count = 1};
        for (const char *d = dims + 1; *d; d++) {
            if (*d == '.') continue;
            t[n].dim[t[n].rank++] = *d - '0';
            t[n].count *= *d - '0';
        }
    }
    return n;
}

static void check_ports(void)
{
    static const ports_case all[] = {
        {{"observations:1.5", "h_t_in:3.1.4"}, {"action:2", "h_t:3.1.4"}, {-1, 1}, 0, 1},
        {{"hidden_in:1.4", "obs:1.5"}, {"hidden_out:1.4", "actions:1.2"}, {0, -1}, 1, 0},
        {{"x:1.5", "h0:1.1.4", "c0:1.1.4"}, {"y:1.2", "hn:1.1.4", "cn:1.1.4"}, {-1, 1, 2}, 0, 1},
        // cells first, by name; without names, by order
        {{"obs:5", "c_in:4", "h_in:4"}, {"h_out:4", "c_out:4", "mu:2"}, {-1, 1, 0}, 2, 0},
        {{"a:1.5", "b:1.4", "d:1.4"}, {"e:1.2", "f:1.4", "g:1.4"}, {-1, 1, 2}, 0, 2},
        // as many actions as observations; one input is never a state
        {{"input:1.5"}, {"output:1.5"}, {-1}, 0, -1},
        {{"obs:1.5", "h_in:1.5"}, {"act:1.5", "h_out:1.5"}, {-1, 1}, 0, 1},
        {{"in:1.5", "s:1.5"}, {"out:1.5", "r:1.5"}, {-1, 1}, 0, 1},
        // other heads and other observations
        {{"obs:5", "command:1"}, {"value:1", "actions:2"}, {-1, -1}, 1, -1},
        {{"obs:5", "h_0_in:4", "h_1_in:4"},
         {"action:2", "h_1_out:4", "h_0_out:4"},
         {-1, 2, 1},
         0,
         1},
        {{"obs:5", "prev_action:2", "h_in:3"}, {"action:2", "h_out:3"}, {-1, -2, 1}, 0, 1},
        {{"obs:5", "last_action:3"}, {"action:2"}, {-1, -1}, 0, -1},
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        deft_value value[8] = {0};
        deft_port in[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
        deft_port out[4] = {{.value = 4}, {.value = 5}, {.value = 6}, {.value = 7}};
        deft_tensor x[4], y[4];
        const deft_tensor *const py[4] = {&y[0], &y[1], &y[2], &y[3]};
        int32_t feeds[4] = {0};
        graph_ports p = {.feeds = feeds};
        deft_error err = {0};
        deft_graph g = {.value = value, .input = in, .output = out};
        g.n_input = parse_ports(all[k].in, value, in, x);
        g.n_output = parse_ports(all[k].out, value, out, y);
        CHECK_OK(graph_ports_find(&g, x, py, &p, &err), err);
        CHECK(p.action == all[k].action, "case %zu: action %d", k, p.action);
        CHECK(p.hidden == all[k].hidden, "case %zu: hidden %d", k, p.hidden);
        for (int32_t i = 0; i < g.n_input; i++)
            CHECK(feeds[i] == all[k].feeds[i], "case %zu: input %d fed by %d", k, i, feeds[i]);
    }
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_rng r;
    deft_rng_seed(&r, 77);
    deft_model *plain = paper_model(&r, a, false), *recurrent = paper_model(&r, a, true);
    check_image(plain, -1, a);
    check_image(recurrent, 2, a);
    check_graph(plain, -1, a);
    check_graph(recurrent, 2, a);
    check_previous_first(recurrent, a);
    check_refusals(plain, a);
    check_ports();
    deft_arena_destroy(a);
    return check_report();
}
