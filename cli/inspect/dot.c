#include <stdlib.h>

#include "cli/inspect/picture.h"

#define LINE_CHARACTERS 48u /* of a box */

static void print_line(FILE *file, const char *text, bool tail) {
        fputs("\\n", file);
        picture_print_text(file, QUOTING_DOT, text, LINE_CHARACTERS, tail);
}

static void print_step(const struct view *view, size_t index, FILE *file) {
        struct plan_step step = plan_step(view->plan, index);
        struct picture_colours colours = picture_colours(step.class);
        struct work work = view_work_of_step(view, index);

        fprintf(file, "        s%zu [fillcolor=\"%s\", color=\"%s\", label=\"%zu ", index, colours.fill,
                colours.line, index);
        picture_print_text(file, QUOTING_DOT, step.op, LINE_CHARACTERS, false);
        print_line(file, step.node, true);
        print_line(file, step.shape, false);
        print_line(file, step.kernel, false);
        if (view->step_ms)
                fprintf(file, "\\n%.3f ms, %.1f %%", work.ms, view_share(view, &work) * 100);
        if (step.why)
                print_line(file, step.why, false);
        fputs("\"];\n", file);
}

int dot_print(const struct view *view, FILE *file, struct error *error) {
        _cleanup_(freep) struct layers_edge *edges = NULL;
        size_t n_edges;
        int r;

        r = picture_edges(view, &edges, &n_edges, error);
        if (r < 0)
                return r;
        fputs("digraph plan {\n        label=\"", file);
        picture_print_text(file, QUOTING_DOT, model_name(view->model), LINE_CHARACTERS, false);
        fprintf(file, ", batch %zu\";\n", plan_batch(view->plan));
        fputs("        node [shape=box, style=filled, fontname=\"Helvetica\", fontsize=10];\n"
              "        edge [color=\"#7c828c\"];\n",
              file);
        for (size_t i = 0; i < plan_n_steps(view->plan); i++)
                print_step(view, i, file);
        for (size_t i = 0; i < n_edges; i++)
                fprintf(file, "        s%u -> s%u;\n", edges[i].from, edges[i].to);
        fputs("}\n", file);
        return 0;
}
