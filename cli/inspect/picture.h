#pragma once
/*
 * picture: a plan as a drawing, for `saccade inspect --graph FILE`: a box a step, an arrow where a step
 * reads what another one made. What SVG and Graphviz share stands here.
 *
 * Names come from the model's file and may be hostile: they pass picture_print_text().
 */
#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "cli/inspect/layers.h"
#include "cli/inspect/view.h"

/* By the end of its name: ".svg" or ".dot". */
bool picture_knows(const char *path);

/* Fails with ERROR_IO or ERROR_NO_MEMORY; no half-written file is left under path. */
int picture_write(const struct view *view, const char *path, struct error *error);

/* Both print to file, whose errors are the caller's to see. */
int svg_print(const struct view *view, FILE *file, struct error *error);
int dot_print(const struct view *view, FILE *file, struct error *error);

enum picture_quoting {
        QUOTING_XML, /* for text and attributes */
        QUOTING_DOT, /* for a string between double quotes */
};

/* At most max characters of text, the beginning cut off where it is longer and tail is set, else the end.
 * What is neither printable nor UTF-8 becomes '?'. */
void picture_print_text(FILE *file, enum picture_quoting quoting, const char *text, size_t max, bool tail);

struct picture_colours {
        const char *fill, *line;
};
struct picture_colours picture_colours(enum step_class class);

/* All edges of the plan, sorted by `to`; to be freed with free(). */
int picture_edges(const struct view *view, struct layers_edge **ret_edges, size_t *ret_n,
                  struct error *error);
