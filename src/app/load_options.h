/* load_options.h - private: which option is for which kind of file. */
#ifndef DEFT_APP_LOAD_OPTIONS_H
#define DEFT_APP_LOAD_OPTIONS_H

#include "deft/app.h"

/* Options that are not for this kind of file are errors; where they are for several files, *out is
 * without them. */
deft_status load_options_fit(deft_format format, const deft_load_options *opt,
                             deft_load_options *out, deft_error *err);

#endif
