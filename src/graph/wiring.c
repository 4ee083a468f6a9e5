/* wiring.c - which layers read the state of others, from before or from after the step. */
#include "graph/model_private.h"

/* Does reader k (n_layer: the output) read this from another layer as it was before the step? */
static bool is_late(const deft_segment *s, int32_t k)
{
    return s->kind == DEFT_SRC_STATE && s->index != k;
}

deft_wiring deft_model_wiring(const deft_model *m)
{
    uint64_t fed[MODEL_MAX_LAYERS / 64 + 1] = {0}; // layers whose output depends on a recurrent one
    bool cascade = false;
    for (int32_t k = 0; k <= m->n_layer && k <= MODEL_MAX_LAYERS; k++) {
        deft_segment *s;
        const int32_t n = model_segments(m, k, &s);
        bool depends = false;
        for (int32_t i = 0; i < n; i++) {
            if (is_late(&s[i], k)) return DEFT_WIRING_DELAYED;
            if (s[i].kind == DEFT_SRC_LAYER)
                depends |= (fed[s[i].index / 64] >> (s[i].index % 64)) & 1;
        }
        const bool recurrent = k < m->n_layer && model_has_h(m->layer[k].kind);
        cascade |= recurrent && depends;
        if (recurrent || depends) fed[k / 64] |= UINT64_C(1) << (k % 64);
    }
    return cascade ? DEFT_WIRING_CASCADE : DEFT_WIRING_NONE;
}

const char *deft_wiring_name(deft_wiring w)
{
    static const char *const name[] = {"none", "cascade", "delayed"};
    return w >= DEFT_WIRING_NONE && w <= DEFT_WIRING_DELAYED ? name[w] : "?";
}

/* --- rewiring -------------------------------------------------------------------------------- */

/* May layer k run once those marked have, if it reads only new states? */
static bool ready(const deft_layer *l, int32_t k, const bool *done)
{
    for (int32_t i = 0; i < l->n_segment; i++) {
        const deft_segment *s = &l->in[i];
        if ((s->kind == DEFT_SRC_LAYER || is_late(s, k)) && !done[s->index]) return false;
    }
    return true;
}

/* order[p]: the layer that comes p-th. Always the first that may, so that layers keep their order
 * where they can. False where layers wait for each other. */
static bool order_layers(const deft_model *m, bool *done, int32_t *order)
{
    for (int32_t p = 0; p < m->n_layer; p++) {
        int32_t k = 0;
        while (k < m->n_layer && (done[k] || !ready(&m->layer[k], k, done))) k++;
        if (k == m->n_layer) return false;
        done[k] = true;
        order[p] = k;
    }
    return true;
}

int32_t deft_model_rewire(deft_model *m, deft_error *err)
{
    bool *done = DEFT_NEW_ARRAY(m->arena, bool, m->n_layer);
    int32_t *order = DEFT_NEW_ARRAY(m->arena, int32_t, m->n_layer);
    int32_t *place = DEFT_NEW_ARRAY(m->arena, int32_t, m->n_layer);
    deft_layer *layer = DEFT_NEW_ARRAY(m->arena, deft_layer, m->n_layer);
    if (!done || !order || !place || !layer)
        return deft_fail(err, DEFT_E_SPACE, "no memory to rewire the policy");
    if (!order_layers(m, done, order))
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "the layers cannot be rewired: with new states they would wait for each "
                         "other");
    int32_t changed = 0;
    for (int32_t k = 0; k <= m->n_layer; k++) {
        deft_segment *s;
        const int32_t n = model_segments(m, k, &s);
        for (int32_t i = 0; i < n; i++) {
            if (!is_late(&s[i], k)) continue;
            s[i].kind = DEFT_SRC_LAYER;
            changed++;
        }
    }
    if (changed == 0) return 0;
    for (int32_t p = 0; p < m->n_layer; p++) {
        layer[p] = m->layer[order[p]];
        place[order[p]] = p;
    }
    for (int32_t k = 0; k <= m->n_layer; k++) {
        deft_segment *s;
        const int32_t n = model_segments(m, k, &s);
        for (int32_t i = 0; i < n; i++)
            if (s[i].kind == DEFT_SRC_LAYER || s[i].kind == DEFT_SRC_STATE)
                s[i].index = place[s[i].index];
    }
    m->layer = layer;
    m->changed = true;
    return changed;
}
