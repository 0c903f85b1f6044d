#include "quantize/report.h"

#include <math.h>

#define MIB 1048576.0

/* Names are the file's author's: no control characters, and nothing that Markdown or XML would read. */
static void print_name(FILE *file, const char *name) {
        for (; *name; name++) {
                unsigned char c = (unsigned char)*name;

                fputc(c < 0x20 || c == 0x7f || c == '|' || c == '<' || c == '>' || c == '&' || c == '`' ? '?'
                                                                                                        : c,
                      file);
        }
}

static void print_decibels(FILE *file, double db) {
        if (isnan(db))
                fprintf(file, " |");
        else if (isinf(db))
                fprintf(file, " exact |");
        else
                fprintf(file, " %.1f |", db);
}

static void print_ms(FILE *file, double ms) {
        if (isnan(ms))
                fprintf(file, " |");
        else
                fprintf(file, " %.3f |", ms);
}

static double speedup(double float_ms, double int8_ms) {
        return int8_ms > 0 ? float_ms / int8_ms : NAN;
}

static double percent(size_t part, size_t whole) {
        return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void print_agreement(FILE *file, const char *what, const struct agreement *a) {
        fprintf(file, "| %s | %zu of %zu (%.1f %%) | %.4f |", what, a->n_same, a->n,
                percent(a->n_same, a->n), a->divergence);
        if (a->n_labelled > 0)
                fprintf(file, " %zu of %zu (float32: %zu) |", a->n_right, a->n_labelled, a->n_right_float);
        fputc('\n', file);
}

static void print_agreements(FILE *file, const struct report *report) {
        const struct quantize_result *result = report->result;
        bool labelled = report->pictures->n_labelled > 0;

        fprintf(file,
                "## Answers\n\nOn the %zu calibration image%s, compared with float32. One image is %.2f "
                "percentage points. *Divergence*: of the probabilities (Kullback-Leibler, mean, nats).\n\n",
                report->pictures->n, report->pictures->n == 1 ? "" : "s",
                agreement_resolution(&result->agreement));
        fprintf(file, "| | same best class | divergence |%s\n| --- | --- | --- |%s\n",
                labelled ? " right |" : "", labelled ? " --- |" : "");
        for (size_t i = 0; i < result->n_trials; i++)
                print_agreement(file, ESTIMATOR_NAMES[result->trials[i].estimator],
                                &result->trials[i].agreement);
        print_agreement(file, "**the file**", &result->agreement);
        if (result->equalisation.tried)
                fprintf(file,
                        "\nChannels between %zu pairs of convolutions can be equalised: divergence %.4f "
                        "with "
                        "that, %.4f without; it is %s. The table is of what was taken.\n",
                        result->equalisation.n_pairs, result->equalisation.with.divergence,
                        result->equalisation.without.divergence,
                        result->equalisation.taken ? "done" : "left");
        fprintf(file,
                "\nRanges are those of `%s`. Budget (`--max-drop`): %.2f percentage points of %s; %s.\n\n",
                ESTIMATOR_NAMES[result->estimator], report->options->max_drop,
                labelled ? "accuracy by the labels" : "agreement with float32",
                result->n_kept == 0 ? (result->met ? "met by all layers in eight bits" : "not met")
                : result->met       ? "met with the layers below that stay float32"
                                    : "not met, though no layer is left in eight bits");
}

static void print_layers(FILE *file, const struct quantize_result *result) {
        fprintf(file, "## Layers\n\n"
                      "Decibels of signal to noise: of the weights, of what the layer reads, and of the "
                      "network's output with this layer alone in eight bits. Less is worse. "
                      "Milliseconds where a step of the network does this layer and nothing else.\n\n"
                      "| layer | kind | weights | weights dB | input dB | output dB | float32 ms | ms | "
                      "speed-up | computes in |\n"
                      "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n");
        for (size_t i = 0; i < result->n_layers; i++) {
                const struct quantize_layer *layer = &result->layers[i];

                fprintf(file, "| `");
                print_name(file, layer->name);
                fprintf(file, "` | %s |", layer_kind_name(layer->kind));
                if (layer->n_weights > 0)
                        fprintf(file, " %zu |", layer->n_weights);
                else
                        fprintf(file, " |");
                print_decibels(file, layer->weight_sqnr_db);
                print_decibels(file, layer->activation_sqnr_db);
                print_decibels(file, layer->output_sqnr_db);
                print_ms(file, layer->float_ms);
                print_ms(file, layer->int8_ms);
                if (isnan(speedup(layer->float_ms, layer->int8_ms)))
                        fprintf(file, " |");
                else
                        fprintf(file, " %.1f |", speedup(layer->float_ms, layer->int8_ms));
                fprintf(file, " %s |\n", layer->kept ? "float32, to meet the budget" : "int8");
        }
}

void report_markdown(FILE *file, const struct report *report) {
        const struct quantize_result *result = report->result;

        fprintf(file, "# ");
        print_name(file, report->model_name);
        fprintf(file, " in eight bits\n\n![error of each layer](report.svg)\n\n");
        fprintf(file,
                "| file | MiB |\n| --- | ---: |\n| float32 weights | %.1f |\n| model.onnx | %.1f |\n\n",
                (double)result->float_bytes / MIB, (double)result->onnx_bytes / MIB);
        fprintf(file,
                "One image on one thread of the machine that made this (%s): %.2f ms in float32, %.2f ms as "
                "model.onnx, **%.2f times as fast**.\n\n",
                result->speed.isa, result->speed.float_ms, result->speed.int8_ms,
                speedup(result->speed.float_ms, result->speed.int8_ms));
        print_agreements(file, report);
        print_layers(file, result);
}

/* ---- the plot ---- */

/* Pixels. */
#define BAR_HEIGHT   13.0
#define ROW_HEIGHT   17.0
#define NAME_WIDTH   330.0
#define PLOT_WIDTH   420.0
#define TITLE        64.0
#define LARGEST_DB   80.0
#define NAME_LETTERS 52

static double bar_width(double db) {
        return isnan(db) ? 0 : fmin(fmax(db, 0), LARGEST_DB) / LARGEST_DB * PLOT_WIDTH;
}

void report_svg(FILE *file, const struct report *report) {
        const struct quantize_result *result = report->result;
        double height = TITLE + ROW_HEIGHT * (double)result->n_layers + 20;

        fprintf(file,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                "font-family=\"sans-serif\" font-size=\"11\">\n"
                "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
                "<text x=\"10\" y=\"22\" font-size=\"15\">Output signal to noise with one layer in eight "
                "bits, "
                "dB (shorter is worse)</text>\n",
                NAME_WIDTH + PLOT_WIDTH + 80, height);
        fprintf(file,
                "<text x=\"%.1f\" y=\"44\" text-anchor=\"end\">%.2f ms, float32 %.2f ms (%s): %.2f times as "
                "fast; right: of each layer</text>\n",
                NAME_WIDTH + PLOT_WIDTH + 70, result->speed.int8_ms, result->speed.float_ms,
                result->speed.isa, speedup(result->speed.float_ms, result->speed.int8_ms));
        fprintf(file, "<rect x=\"10\" y=\"34\" width=\"12\" height=\"11\" fill=\"#3b78b8\"/><text x=\"27\" "
                      "y=\"44\">int8</text>\n<rect x=\"70\" y=\"34\" width=\"12\" height=\"11\" "
                      "fill=\"#c8662b\"/><text x=\"87\" y=\"44\">kept in float32</text>\n");
        for (int db = 0; db <= (int)LARGEST_DB; db += 20)
                fprintf(file,
                        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#d5d8dd\"/>"
                        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d</text>\n",
                        NAME_WIDTH + bar_width(db), TITLE, NAME_WIDTH + bar_width(db), height - 16,
                        NAME_WIDTH + bar_width(db), TITLE - 5, db);
        for (size_t i = 0; i < result->n_layers; i++) {
                const struct quantize_layer *layer = &result->layers[i];
                double y = TITLE + ROW_HEIGHT * (double)i + 2;
                char name[NAME_LETTERS + 1];

                snprintf(name, sizeof(name), "%s", layer->name);
                fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", NAME_WIDTH - 8,
                        y + BAR_HEIGHT - 3);
                print_name(file, name);
                fprintf(file,
                        "</text><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
                        NAME_WIDTH, y, bar_width(layer->output_sqnr_db), BAR_HEIGHT,
                        layer->kept ? "#c8662b" : "#3b78b8");
                if (!isnan(speedup(layer->float_ms, layer->int8_ms)))
                        fprintf(file,
                                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.1f \303\227</text>\n",
                                NAME_WIDTH + PLOT_WIDTH + 70, y + BAR_HEIGHT - 3,
                                speedup(layer->float_ms, layer->int8_ms));
        }
        fprintf(file, "</svg>\n");
}
