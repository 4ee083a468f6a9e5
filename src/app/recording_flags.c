/* recording_flags.c - recorded inputs that only reset a policy's state. */
#include "deft/app.h"

#include <string.h>

/* The observation that stands after a flag: where the flag was among them. */
static int32_t place_of(const deft_loaded *l, const deft_reset *f)
{
    for (int32_t i = f->before; i < l->graph->n_input; i++)
        if (l->model->port[i].kind == DEFT_PORT_OBS) return l->model->port[i].index;
    return l->model->contract.n_obs;
}

/* Is recorded column k flag number `found`? at: the observation that comes next. */
static bool is_flag(const deft_loaded *l, int32_t found, int32_t at)
{
    return found < l->graph->n_reset && place_of(l, &l->graph->reset[found]) == at;
}

deft_status deft_recording_flags(deft_recording *r, const deft_loaded *l, deft_arena *a,
                                 deft_error *err)
{
    if (!l->graph || !l->model || !l->graph->n_reset || r->named || r->log) return DEFT_OK;
    const int32_t n_obs = l->model->contract.n_obs;
    if (r->n_obs != n_obs + l->graph->n_reset) return DEFT_OK;
    float *const obs = DEFT_NEW_ARRAY(a, float, (size_t)r->n_row *(size_t)n_obs);
    uint8_t *const first = DEFT_NEW_ARRAY(a, uint8_t, r->n_row);
    if (!obs || !first) return deft_fail(err, DEFT_E_SPACE, "no memory");
    r->n_episode = 0;
    for (int32_t row = 0; row < r->n_row; row++) {
        const float *const from = r->obs + (size_t)row * (size_t)r->n_obs;
        float *const to = obs + (size_t)row * (size_t)n_obs;
        bool begins = row == 0 || (r->first && r->first[row]);
        for (int32_t k = 0, at = 0, found = 0; k < r->n_obs; k++) {
            if (is_flag(l, found, at)) {
                begins = begins || from[k] == l->graph->reset[found].value;
                found++;
            } else if (at < n_obs) {
                to[at++] = from[k];
            }
        }
        first[row] = begins;
        r->n_episode += begins;
    }
    r->obs = obs;
    r->first = first;
    r->n_obs = n_obs;
    return DEFT_OK;
}
