#pragma once
/* report: what quantisation did and what it cost, for people: Markdown and a plot. */
#include <stdio.h>

#include "quantize/quantize.h"

struct report {
        const struct quantize_result *result;
        const struct quantize_options *options;
        const struct pictures *pictures;
        const char *model_name;
};

/* ferror(file) tells whether all could be written. */
void report_markdown(FILE *file, const struct report *report);
void report_svg(FILE *file, const struct report *report);
