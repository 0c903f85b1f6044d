#include <math.h>
#include <string.h>

#include "base/macros.h"
#include "cli/terminal.h"
#include "cli/top/report.h"

#define NAME_WIDTH 11u /* of what stands left */
#define BAR_WIDTH  16u

/* A number of at most `digits` significant digits before a blank; "-" where there is none. */
static void print_number(FILE *file, double value, int width, int decimals) {
        if (isnan(value))
                fprintf(file, "%*s", width, "-");
        else
                fprintf(file, "%*.*f", width, fabs(value) < 1e9 ? decimals : 0,
                        fmin(fmax(value, -1e12), 1e12));
}

/* Milliseconds: three digits are as exact as the buckets are. */
static void print_ms(FILE *file, double ms, int width) {
        print_number(file, ms, width, ms < 10 ? 2 : ms < 100 ? 1 : 0);
}

static void print_text(FILE *file, const char *text, size_t width) {
        size_t printed = terminal_print_text(file, text ? text : "-", width);

        fprintf(file, "%*s", (int)(width - MIN(printed, width)), "");
}

static void print_name(FILE *file, const char *name, const struct report_style *style) {
        fprintf(file, "%s%-*s%s", style->dim, (int)NAME_WIDTH, name, style->plain);
}

static void print_uptime(FILE *file, double seconds) {
        double days = floor(seconds / 86400), hours = floor(fmod(seconds, 86400) / 3600),
               minutes = floor(fmod(seconds, 3600) / 60);

        if (!(seconds >= 0 && seconds < 1e10))
                return;
        fputs("  up ", file);
        if (days > 0)
                fprintf(file, "%.0f d %.0f h", days, hours);
        else if (hours > 0)
                fprintf(file, "%.0f h %.0f min", hours, minutes);
        else if (minutes > 0)
                fprintf(file, "%.0f min %.0f s", minutes, fmod(seconds, 60));
        else
                fprintf(file, "%.0f s", seconds);
}

/* "ok 790.1  deadline 0.2"; what never came is left out, and so is what does not fit. */
static void print_rates(FILE *file, const char *name, const struct report_rates *rates,
                        const struct report_style *style, bool alarm) {
        size_t column = NAME_WIDTH + 12;

        print_name(file, name, style);
        print_number(file, rates->total_per_s, 9, 1);
        fputs("/s", file);
        for (size_t i = 0; i < rates->n; i++) {
                size_t width = MIN(terminal_text_width(rates->labels[i]), (size_t)20);

                if (!(rates->per_s[i] > 0) || column + width + 12 > style->width)
                        continue;
                fputs(alarm ? style->alarm : "", file);
                fputs("  ", file);
                terminal_print_text(file, rates->labels[i], width);
                fprintf(file, " %.1f%s", fmin(rates->per_s[i], 1e9), alarm ? style->plain : "");
                column += width + 12;
        }
        fputc('\n', file);
}

static void print_load(FILE *file, const struct report *r, const struct report_style *style) {
        bool backlog = r->saturation > 1;

        print_name(file, "saturation", style);
        fputs(backlog ? style->alarm : "", file);
        print_number(file, r->saturation, 9, 2);
        fputs("    ", file);
        terminal_print_bar(file, isnan(r->saturation) ? 0 : fmin(fmax(r->saturation, 0), 1), BAR_WIDTH);
        fprintf(file, "%s\n", backlog ? style->plain : "");

        print_name(file, "queue", style);
        print_number(file, r->queue_images, 9, 0);
        fputs(" images   wait ", file);
        print_ms(file, r->wait_s * 1e3, 0);
        fputs(" ms   requests in flight ", file);
        print_number(file, r->inflight_requests, 0, 0);
        fputs("   batch ", file);
        print_number(file, r->batch, 0, 1);
        fputc('\n', file);
}

static void print_process(FILE *file, const struct report *r, const struct report_style *style) {
        print_name(file, "process", style);
        print_number(file, r->cpus_used, 9, 2);
        fputs(" of ", file);
        print_number(file, r->cpus, 0, 0);
        fputs(" CPUs   ", file);
        print_number(file, r->resident_bytes / (1 << 20), 0, 0);
        fputs(" MiB   ", file);
        print_number(file, r->open_fds, 0, 0);
        fputs(" of ", file);
        print_number(file, r->max_fds, 0, 0);
        fputs(" files\n", file);
}

static void print_stages(FILE *file, const struct report *r, const struct report_style *style) {
        fprintf(file, "\n%s%-*s%9s%11s%11s%11s%s\n", style->bold, (int)NAME_WIDTH, "stage", "p50 ms",
                "p99 ms", "mean ms", "per s", style->plain);
        for (size_t i = 0; i < REPORT_STAGES; i++) {
                const struct report_durations *stage = &r->stages[i];

                print_name(file, report_stage_names[i], style);
                print_ms(file, stage->p50_ms, 9);
                print_ms(file, stage->p99_ms, 11);
                print_ms(file, stage->mean_ms, 11);
                print_number(file, stage->per_s, 11, 1);
                fputc('\n', file);
        }
}

#define MODEL_FIXED_COLUMNS 62u /* all but the name */

static void print_models(FILE *file, const struct report *r, const struct report_style *style,
                         size_t max_lines) {
        size_t name_width = 5, n = r->n_models, left_out = 0;

        for (size_t i = 0; i < n; i++)
                name_width = MAX(name_width, terminal_text_width(r->models[i].name));
        name_width = MAX(MIN(name_width, style->width - MIN(MODEL_FIXED_COLUMNS, style->width)), (size_t)10);
        if (max_lines > 0 && n > max_lines) {
                left_out = n - (max_lines - 1);
                n = max_lines - 1;
        }
        fprintf(file, "\n%s%-*s  %-12s  %-5s%10s%10s%10s%8s%s\n", style->bold, (int)name_width, "model",
                "version", "prec.", "images/s", "infer p50", "total p99", "batch", style->plain);
        for (size_t i = 0; i < n; i++) {
                const struct report_model *model = &r->models[i];

                print_text(file, model->name, name_width);
                fputs("  ", file);
                print_text(file, model->version, 12);
                fputs("  ", file);
                print_text(file, model->precision, 5);
                print_number(file, model->images_per_s, 10, 1);
                print_ms(file, model->infer.p50_ms, 10);
                print_ms(file, model->total.p99_ms, 10);
                print_number(file, model->batch, 8, 1);
                fputc('\n', file);
        }
        if (left_out > 0)
                fprintf(file, "and %zu more\n", left_out);
}

#define FIXED_LINES 18u /* all but the models */

void report_print(FILE *file, const struct report *r, const char *head, const struct report_style *style) {
        size_t max_models = style->max_lines == 0            ? 0
                            : style->max_lines > FIXED_LINES ? style->max_lines - FIXED_LINES
                                                             : 1;

        fprintf(file, "%ssaccade%s ", style->bold, style->plain);
        terminal_print_text(file, r->version ? r->version : "", 16);
        fputs("  ", file);
        terminal_print_text(file, head, style->width / 2);
        print_uptime(file, r->uptime_s);
        fputs("\n\n", file);

        print_rates(file, "requests", &r->requests, style, false);
        print_rates(file, "images", &r->images, style, false);
        print_rates(file, "refused", &r->sheds, style, true);
        print_load(file, r, style);
        print_process(file, r, style);
        print_stages(file, r, style);
        print_models(file, r, style, max_models);
}
