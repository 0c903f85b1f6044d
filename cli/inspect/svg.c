#include <stdlib.h>

#include "cli/inspect/picture.h"
#include "engine/cpu.h"

/* Pixels. */
#define BOX_WIDTH       214.0
#define BOX_HEIGHT      66.0
#define BEND_WIDTH      8.0
#define COLUMN_GAP      18.0
#define LAYER_GAP       34.0
#define MARGIN          20.0
#define TITLE_HEIGHT    48.0
#define LEGEND_ROW      18.0
#define LEGEND_WIDTH    330.0 /* of one of its two columns */
#define BAR_HEIGHT      4.0   /* under the text of a box: its part of the longest step */

#define LINE_CHARACTERS 37u /* of a box, at 10 pixels */
#define OP_CHARACTERS   22u

#define INK             "#22252a"
#define FAINT           "#5c636e"
#define EDGE            "#7c828c"

struct svg {
        const struct view *view;
        const struct layers *layers;
        FILE *file;
        double left, top; /* of the drawing */
        double longest_ms;
};

/* Counts all; the legend shows those that there are. */
static size_t count_classes(const struct view *view) {
        size_t n = 0;

        for (enum step_class class = 0; class < STEP_N_CLASSES; class ++)
                n += view_work_of_class(view, class).n_steps > 0;
        return n;
}

static void print_legend(const struct svg *svg) {
        size_t n = 0;

        for (enum step_class class = 0; class < STEP_N_CLASSES; class ++) {
                struct work work = view_work_of_class(svg->view, class);
                struct picture_colours colours = picture_colours(class);
                double x = MARGIN + (double)(n % 2) * LEGEND_WIDTH;
                double y = TITLE_HEIGHT + MARGIN + (double)(n / 2) * LEGEND_ROW;

                if (work.n_steps == 0)
                        continue;
                fprintf(svg->file,
                        "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"11\" rx=\"2\" fill=\"%s\" "
                        "stroke=\"%s\"/>\n<text x=\"%.1f\" y=\"%.1f\">%s: %zu step%s",
                        x, y - 10, colours.fill, colours.line, x + 21, y, step_class_name(class),
                        work.n_steps, work.n_steps == 1 ? "" : "s");
                if (svg->view->step_ms)
                        fprintf(svg->file, ", %.2f ms, %.1f %%", work.ms,
                                view_share(svg->view, &work) * 100);
                fputs("</text>\n", svg->file);
                n++;
        }
}

static void print_title(const struct svg *svg) {
        const struct plan *plan = svg->view->plan;

        fprintf(svg->file, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"16\" font-weight=\"bold\">", MARGIN,
                MARGIN + 8);
        picture_print_text(svg->file, QUOTING_XML, model_name(svg->view->model), 60, false);
        fprintf(svg->file, "</text>\n<text x=\"%.1f\" y=\"%.1f\" font-size=\"11\" fill=\"" FAINT "\">",
                MARGIN, MARGIN + 25);
        fprintf(svg->file, "batch %zu, %u thread%s, %s", plan_batch(plan), plan_threads(plan),
                plan_threads(plan) == 1 ? "" : "s", cpu_isa());
        if (svg->view->step_ms)
                fprintf(svg->file, ", %.3f ms; bars: time, the longest step has a whole one",
                        svg->view->total_ms);
        fputs("</text>\n", svg->file);
}

/* ---- edges ---- */

static double layer_top(const struct svg *svg, size_t layer) {
        return svg->top + (double)layer * (BOX_HEIGHT + LAYER_GAP);
}

static void print_edges(const struct svg *svg) {
        const struct layers *layers = svg->layers;

        fputs("<g fill=\"none\" stroke=\"" EDGE "\" stroke-width=\"1.5\">\n", svg->file);
        for (size_t i = 0; i < layers->n_segments; i++) {
                const struct layers_place *from = &layers->places[layers->segments[i].from];
                const struct layers_place *to = &layers->places[layers->segments[i].to];
                double x = svg->left + from->x, y = layer_top(svg, from->layer) + BOX_HEIGHT;
                double to_x = svg->left + to->x, to_y = layer_top(svg, to->layer);
                bool arrow = layers->segments[i].to < layers->n_nodes;

                fprintf(svg->file, "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\"%s/>\n", x, y, x,
                        y + LAYER_GAP / 2, to_x, to_y - LAYER_GAP / 2, to_x, to_y - (arrow ? 5 : 0),
                        arrow ? " marker-end=\"url(#arrow)\"" : "");
        }
        for (size_t i = layers->n_nodes; i < layers->n_places; i++) {
                double x = svg->left + layers->places[i].x, y = layer_top(svg, layers->places[i].layer);

                fprintf(svg->file, "<path d=\"M%.1f %.1fV%.1f\"/>\n", x, y, y + BOX_HEIGHT);
        }
        fputs("</g>\n", svg->file);
}

/* ---- boxes ---- */

static void print_box_line(const struct svg *svg, double x, double y, const char *text, size_t max,
                           bool tail) {
        fprintf(svg->file, "<text x=\"%.1f\" y=\"%.1f\">", x + 8, y);
        picture_print_text(svg->file, QUOTING_XML, text, max, tail);
        fputs("</text>", svg->file);
}

/* What a box has no room for: viewers show it under the pointer. */
static void print_tooltip(const struct svg *svg, const struct plan_step *step, const struct work *work) {
        fputs("<title>", svg->file);
        picture_print_text(svg->file, QUOTING_XML, step->op, SIZE_MAX, false);
        fputs(" of ", svg->file);
        picture_print_text(svg->file, QUOTING_XML, step->node, SIZE_MAX, false);
        fprintf(svg->file, ": %s%s%s, %s, %.3f GFLOP", step->source, *step->source ? " to " : "",
                step->shape, step->kernel, work->flop / 1e9);
        if (svg->view->step_ms)
                fprintf(svg->file, ", %.1f GFLOP/s, %.1f %% of the peak", work_flop_per_s(work) / 1e9,
                        view_peak_share(svg->view, work) * 100);
        if (step->why) {
                fputs("; ", svg->file);
                picture_print_text(svg->file, QUOTING_XML, step->why, SIZE_MAX, false);
        }
        fputs("</title>", svg->file);
}

static void print_box(const struct svg *svg, size_t index) {
        struct plan_step step = plan_step(svg->view->plan, index);
        struct picture_colours colours = picture_colours(step.class);
        struct work work = view_work_of_step(svg->view, index);
        char kernel[VIEW_KERNEL_BYTES];
        double x = svg->left + svg->layers->places[index].x - BOX_WIDTH / 2;
        double y = layer_top(svg, svg->layers->places[index].layer);

        fputs("<g>", svg->file);
        print_tooltip(svg, &step, &work);
        fprintf(svg->file,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.0f\" height=\"%.0f\" rx=\"4\" fill=\"%s\" "
                "stroke=\"%s\"/>",
                x, y, BOX_WIDTH, BOX_HEIGHT, colours.fill, colours.line);
        if (svg->longest_ms > 0)
                fprintf(svg->file,
                        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.0f\" fill=\"%s\"/>", x,
                        y + BOX_HEIGHT - BAR_HEIGHT, BOX_WIDTH * work.ms / svg->longest_ms, BAR_HEIGHT,
                        colours.line);
        fprintf(svg->file, "<text x=\"%.1f\" y=\"%.1f\" font-weight=\"bold\" font-size=\"11\">%zu ", x + 8,
                y + 15, index);
        picture_print_text(svg->file, QUOTING_XML, step.op, OP_CHARACTERS, false);
        fputs("</text>", svg->file);
        if (svg->view->step_ms)
                fprintf(svg->file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.2f ms, %.1f %%</text>",
                        x + BOX_WIDTH - 8, y + 56, work.ms, view_share(svg->view, &work) * 100);
        print_box_line(svg, x, y + 29, step.node, LINE_CHARACTERS, true);
        print_box_line(svg, x, y + 42, step.shape, LINE_CHARACTERS, false);
        print_box_line(svg, x, y + 56, view_short_kernel(step.kernel, kernel),
                       svg->view->step_ms ? OP_CHARACTERS : LINE_CHARACTERS, false);
        fputs("</g>\n", svg->file);
}

int svg_print(const struct view *view, FILE *file, struct error *error) {
        const struct layers_sizes sizes = {
                .node_width = BOX_WIDTH, .bend_width = BEND_WIDTH, .gap = COLUMN_GAP};
        _cleanup_(freep) struct layers_edge *edges = NULL;
        _cleanup_(layers_freep) struct layers *layers = NULL;
        double legend_height = (double)((count_classes(view) + 1) / 2) * LEGEND_ROW, width, height;
        struct svg svg = {.view = view, .file = file};
        size_t n_edges;
        int r;

        r = picture_edges(view, &edges, &n_edges, error);
        if (r >= 0)
                r = layers_new(&layers, plan_n_steps(view->plan), edges, n_edges, &sizes, error);
        if (r < 0)
                return r;
        width = MAX(layers->width, 2 * LEGEND_WIDTH) + 2 * MARGIN;
        svg.layers = layers;
        svg.left = (width - layers->width) / 2;
        svg.top = TITLE_HEIGHT + legend_height + 2 * MARGIN;
        for (size_t i = 0; view->step_ms && i < plan_n_steps(view->plan); i++)
                svg.longest_ms = MAX(svg.longest_ms, view->step_ms[i]);
        height = layer_top(&svg, layers->n_layers) - LAYER_GAP + MARGIN;

        fprintf(file,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                "viewBox=\"0 0 %.0f %.0f\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"10\" "
                "fill=\"" INK "\">\n",
                width, height, width, height);
        fputs("<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"3\" refY=\"4\" markerWidth=\"6\" "
              "markerHeight=\"6\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"" EDGE
              "\"/></marker></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
              file);
        print_title(&svg);
        print_legend(&svg);
        print_edges(&svg);
        for (size_t i = 0; i < plan_n_steps(view->plan); i++)
                print_box(&svg, i);
        fputs("</svg>\n", file);
        return 0;
}
