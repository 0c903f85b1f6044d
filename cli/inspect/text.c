#include <stdio.h>
#include <stdlib.h>

#include "cli/inspect/view.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "engine/cpu.h"

#define TEXT_WIDTH 120u /* columns, where neither a terminal nor COLUMNS says otherwise */

static void print_name(const char *name) {
        printf("%s%-13s%s", terminal_style(stdout, TERMINAL_DIM), name,
               terminal_style(stdout, TERMINAL_PLAIN));
}

static void print_peak(const struct view *view) {
        print_name("run");
        printf("%.3f ms, %.1f images/s, %.1f %% of the peak\n", view->run_ms,
               (double)plan_batch(view->plan) / (view->run_ms / 1e3), view_run_peak_share(view) * 100);
        print_name("peak");
        printf("%.1f GFLOP/s by fused multiply-adds on registers, measured; a step that skips padding,\n",
               view->peak_flop_per_s / 1e9);
        print_name("");
        printf("has a faster algorithm than FLOP counts by, or computes in integers may exceed it\n");
}

static void print_header(const struct view *view) {
        const struct model *model = view->model;
        char text[MODEL_INPUT_TEXT_BYTES];

        printf("%s", terminal_style(stdout, TERMINAL_BOLD));
        terminal_print_text(stdout, model_name(model), SIZE_MAX);
        printf("%s  version %s, opset %d\n", terminal_style(stdout, TERMINAL_PLAIN), model_version(model),
               model_opset(model));
        print_name("graph");
        printf("%zu nodes, %.2f million parameters\n", model_n_nodes(model),
               (double)model_n_parameters(model) / 1e6);
        print_name("input");
        terminal_print_text(stdout, model_input(model).name, 64);
        printf(" %s\n", model_input_text(model, text));
        print_name("output");
        terminal_print_text(stdout, model_output_name(model), 64);
        printf(": %s", model_gives_probabilities(model) ? "probabilities" : "logits");
        if (model_n_outputs(model) > 1)
                printf("; the file has %zu outputs", model_n_outputs(model));
        putchar('\n');
        print_name("classes");
        printf("%zu\n", model_n_classes(model));
        print_name("precision");
        printf("%s: %s\n", model_precision(model), model_precision_why(model));
        print_name("plan");
        printf("batch %zu, %u thread%s, %s\n", plan_batch(view->plan), plan_threads(view->plan),
               plan_threads(view->plan) == 1 ? "" : "s", cpu_isa());
        if (plan_part_batch(view->plan) > 0) {
                print_name("");
                printf("divided: each thread runs %zu at a time by itself; steps are those of one such "
                       "part\n",
                       plan_part_batch(view->plan));
        }
        if (view->step_ms)
                print_peak(view);
        putchar('\n');
}

static size_t text_width(void) {
        return terminal_is_interactive(stdout) || getenv("COLUMNS") ? terminal_width(stdout) : TEXT_WIDTH;
}

/* GFLOP, and with a profile ms, share, GFLOP/s and share of the peak. */
static int add_work(struct table *table, const struct view *view, const struct work *work,
                    struct error *error) {
        int r;

        r = table_add(table, error, "%.3f", work->flop / 1e9);
        if (r < 0 || !view->step_ms)
                return r;
        if ((r = table_add(table, error, "%.3f", work->ms)) < 0 ||
            (r = table_add(table, error, "%.1f", view_share(view, work) * 100)) < 0)
                return r;
        if (work->flop <= 0)
                return (r = table_add(table, error, "-")) < 0 ? r : table_add(table, error, "-");
        if ((r = table_add(table, error, "%.1f", work_flop_per_s(work) / 1e9)) < 0)
                return r;
        return table_add(table, error, "%.1f", view_peak_share(view, work) * 100);
}

#define WORK_COLUMNS                                                                                        \
        {.title = "GFLOP", .right = true}, {.title = "ms", .right = true},                                  \
                {.title = "time%", .right = true}, {.title = "GFLOP/s", .right = true}, {                   \
                .title = "peak%", .right = true                                                             \
        }
#define N_PROFILE_COLUMNS 4u /* of these, which need a profile */

static int print_steps(const struct view *view, struct error *error) {
        static const struct table_column columns[] = {
                {.title = "#", .right = true},
                {.title = "op", .shrink = true},
                {.title = "node", .shrink = true, .tail = true},
                {.title = "output", .shrink = false},
                {.title = "kernel", .shrink = true},
                WORK_COLUMNS,
        };
        _cleanup_(table_freep) struct table *table = NULL;
        int r;

        r = table_new(&table, columns, ARRAY_SIZE(columns) - (view->step_ms ? 0 : N_PROFILE_COLUMNS), error);
        for (size_t i = 0; i < plan_n_steps(view->plan) && r >= 0; i++) {
                struct plan_step step = plan_step(view->plan, i);
                struct work work = view_work_of_step(view, i);
                char kernel[VIEW_KERNEL_BYTES];

                if ((r = table_add(table, error, "%zu", i)) >= 0 &&
                    (r = table_add(table, error, "%s", step.op)) >= 0 &&
                    (r = table_add(table, error, "%s", step.node)) >= 0 &&
                    (r = table_add(table, error, "%s", step.shape)) >= 0 &&
                    (r = table_add(table, error, "%s%s", step.is_reference ? "! " : "",
                                   view_short_kernel(step.kernel, kernel))) >= 0)
                        r = add_work(table, view, &work, error);
        }
        if (r < 0)
                return r;
        table_print(table, stdout, text_width());
        putchar('\n');
        return 0;
}

static int add_sum(struct table *table, const struct view *view, const char *name, const struct work *work,
                   struct error *error) {
        int r;

        if ((r = table_add(table, error, "%s", name)) < 0 ||
            (r = table_add(table, error, "%zu", work->n_steps)) < 0)
                return r;
        return add_work(table, view, work, error);
}

static int print_classes(const struct view *view, struct error *error) {
        static const struct table_column columns[] = {
                {.title = "class of step"},
                {.title = "steps", .right = true},
                WORK_COLUMNS,
        };
        _cleanup_(table_freep) struct table *table = NULL;
        struct work work;
        int r;

        r = table_new(&table, columns, ARRAY_SIZE(columns) - (view->step_ms ? 0 : N_PROFILE_COLUMNS), error);
        for (enum step_class class = 0; class < STEP_N_CLASSES && r >= 0; class ++) {
                work = view_work_of_class(view, class);
                if (work.n_steps > 0)
                        r = add_sum(table, view, step_class_name(class), &work, error);
        }
        work = view_work(view);
        if (r >= 0)
                r = add_sum(table, view, "all", &work, error);
        if (r < 0)
                return r;
        table_print(table, stdout, text_width());
        putchar('\n');
        return 0;
}

/* Each step of some classes must be able to say why it is there. */
static void print_reasons(const struct view *view, enum step_class class, const char *name) {
        struct work work = view_work_of_class(view, class);

        print_name(name);
        printf("%zu of %zu steps", work.n_steps, plan_n_steps(view->plan));
        if (view->step_ms)
                printf(", %.3f ms, %.1f %% of the time", work.ms, view_share(view, &work) * 100);
        putchar('\n');
        for (size_t i = 0; i < plan_n_steps(view->plan); i++) {
                struct plan_step step = plan_step(view->plan, i);

                if (step.class != class)
                        continue;
                printf("  step %zu: ", i);
                terminal_print_text(stdout, step.why ? step.why : step.op, text_width() - 15);
                putchar('\n');
        }
}

/* What a user should know of, and report. */
static void print_references(const struct view *view) {
        struct work work = view_work_of_references(view);

        if (work.n_steps == 0)
                return;
        print_name("! reference");
        printf("%zu of %zu steps run code of oneDNN's that is for no CPU in particular, and slow",
               work.n_steps, plan_n_steps(view->plan));
        if (view->step_ms)
                printf(": %.3f ms, %.1f %% of the time", work.ms, view_share(view, &work) * 100);
        putchar('\n');
        for (size_t i = 0; i < plan_n_steps(view->plan); i++) {
                struct plan_step step = plan_step(view->plan, i);

                if (!step.is_reference)
                        continue;
                printf("  step %zu: %s by %s, '", i, step.op, step.kernel);
                terminal_print_text(stdout, step.node, text_width() / 2);
                printf("'\n");
        }
}

static void print_memory(const struct view *view) {
        const struct plan *plan = view->plan;
        double mib = 1 << 20;

        print_name("weights");
        printf("%.2f MiB, of which %.2f MiB are packed for all plans\n",
               (double)plan_weight_bytes(plan) / mib, (double)model_weight_bytes(view->model) / mib);
        print_name("arena");
        printf("%.2f MiB, at least %.2f MiB by any layout: %.3f times as much\n",
               (double)plan_arena_bytes(plan) / mib, (double)plan_arena_bound_bytes(plan) / mib,
               view_arena_ratio(view));
        print_name("scratchpad");
        printf("%.2f MiB\n", (double)plan_scratchpad_bytes(plan) / mib);
}

int view_print_text(const struct view *view, struct error *error) {
        int r;

        print_header(view);
        r = print_steps(view, error);
        if (r >= 0)
                r = print_classes(view, error);
        if (r < 0)
                return r;
        print_reasons(view, STEP_REORDER, "reorders");
        if (view_work_of_class(view, STEP_CONVERSION).n_steps > 0)
                print_reasons(view, STEP_CONVERSION, "conversions");
        print_references(view);
        print_memory(view);
        return 0;
}
