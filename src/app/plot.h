/* plot.h - private: curves as SVG, by gnuplot. */
#ifndef DEFT_APP_PLOT_H
#define DEFT_APP_PLOT_H

#include "deft/base.h"

typedef enum plot_style {
    PLOT_LINE = 0,
    PLOT_THIN,   // one of many
    PLOT_POINTS, // joined, with bars of `spread` where that is given
} plot_style;

typedef struct plot_series {
    const char *name; // NULL: not in the key
    plot_style style;
    int32_t colour; // 0, 1, ...
    int32_t n;
    const double *x, *y,
        *spread; // [n]; rows with a y that is not finite are left out; spread or NULL
} plot_series;

typedef struct plot {
    const char *id; // of letters: prefix of the ids within the SVG
    const char *x_label, *y_label;
    int32_t n;
    const plot_series *series; // [n]
} plot;

/* An <svg> element for a page; bytes live in a. DEFT_E_UNSUPPORTED: there is no gnuplot, or it
 * failed; DEFT_E_ARG: nothing to draw. */
deft_status plot_svg(const plot *p, deft_arena *a, deft_bytes *out, deft_error *err);

#endif
