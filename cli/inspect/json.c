#include "cli/common.h"
#include "cli/inspect/view.h"
#include "engine/cpu.h"

static void add_model(cJSON *object, const struct model *model) {
        struct model_input input = model_input(model);
        cJSON *child;

        cJSON_AddStringToObject(object, "model", model_name(model));
        cJSON_AddStringToObject(object, "version", model_version(model));
        cJSON_AddNumberToObject(object, "opset", model_opset(model));
        cJSON_AddNumberToObject(object, "nodes", (double)model_n_nodes(model));
        cJSON_AddNumberToObject(object, "parameters", (double)model_n_parameters(model));
        child = cJSON_AddObjectToObject(object, "input");
        cJSON_AddStringToObject(child, "name", input.name);
        cJSON_AddNumberToObject(child, "channels", (double)input.channels);
        cJSON_AddNumberToObject(child, "height", (double)input.height);
        cJSON_AddNumberToObject(child, "width", (double)input.width);
        cJSON_AddStringToObject(child, "layout", input.channels_last ? "NHWC" : "NCHW");
        if (input.batch > 0)
                cJSON_AddNumberToObject(child, "batch", (double)input.batch);
        child = cJSON_AddObjectToObject(object, "output");
        cJSON_AddStringToObject(child, "name", model_output_name(model));
        cJSON_AddStringToObject(child, "scores",
                                model_gives_probabilities(model) ? "probabilities" : "logits");
        cJSON_AddNumberToObject(object, "classes", (double)model_n_classes(model));
        cJSON_AddStringToObject(object, "precision", model_precision(model));
        cJSON_AddStringToObject(object, "precision_why", model_precision_why(model));
}

static void add_plan(cJSON *object, const struct view *view) {
        const struct plan *plan = view->plan;

        cJSON_AddStringToObject(object, "isa", cpu_isa());
        cJSON_AddNumberToObject(object, "threads", plan_threads(plan));
        cJSON_AddNumberToObject(object, "batch", (double)plan_batch(plan));
        cJSON_AddNumberToObject(object, "part_batch", (double)plan_part_batch(plan));
        common_json_number(object, "flop", view_run_flop(view));
        cJSON_AddNumberToObject(object, "arena_bytes", (double)plan_arena_bytes(plan));
        cJSON_AddNumberToObject(object, "arena_bound_bytes", (double)plan_arena_bound_bytes(plan));
        common_json_number(object, "arena_ratio", view_arena_ratio(view));
        cJSON_AddNumberToObject(object, "scratchpad_bytes", (double)plan_scratchpad_bytes(plan));
        cJSON_AddNumberToObject(object, "weight_bytes", (double)plan_weight_bytes(plan));
        cJSON_AddNumberToObject(object, "packed_weight_bytes", (double)model_weight_bytes(view->model));
        cJSON_AddNumberToObject(object, "reorders", (double)view_work_of_class(view, STEP_REORDER).n_steps);
        cJSON_AddNumberToObject(object, "conversions",
                                (double)view_work_of_class(view, STEP_CONVERSION).n_steps);
        cJSON_AddNumberToObject(object, "reference_steps", (double)view_work_of_references(view).n_steps);
        if (!view->step_ms)
                return;
        cJSON_AddNumberToObject(object, "runs", (double)view->n_runs);
        common_json_number(object, "run_ms", view->run_ms);
        common_json_number(object, "run_peak_share", view_run_peak_share(view));
        common_json_number(object, "total_ms", view->total_ms);
        common_json_number(object, "peak_gflop_per_s", view->peak_flop_per_s / 1e9);
}

/* Of a step or a class. */
static void add_times(cJSON *object, const struct view *view, const struct work *work) {
        if (!view->step_ms)
                return;
        common_json_number(object, "ms", work->ms);
        common_json_number(object, "share", view_share(view, work));
        common_json_number(object, "gflop_per_s", work_flop_per_s(work) / 1e9);
        common_json_number(object, "peak_share", view_peak_share(view, work));
}

static void add_class_sums(cJSON *object, const struct view *view) {
        cJSON *array = cJSON_AddArrayToObject(object, "by_class"), *child;

        for (enum step_class class = 0; class < STEP_N_CLASSES; class ++) {
                struct work work = view_work_of_class(view, class);

                if (work.n_steps == 0)
                        continue;
                child = cJSON_CreateObject();
                cJSON_AddItemToArray(array, child);
                cJSON_AddStringToObject(child, "class", step_class_name(class));
                cJSON_AddNumberToObject(child, "steps", (double)work.n_steps);
                common_json_number(child, "flop", work.flop);
                add_times(child, view, &work);
        }
}

static void add_sources(cJSON *object, const struct plan *plan, size_t index) {
        uint32_t sources[PLAN_MAX_SOURCES];
        size_t n = plan_step_sources(plan, index, sources, PLAN_MAX_SOURCES);
        cJSON *array = cJSON_AddArrayToObject(object, "reads");

        for (size_t i = 0; i < n; i++)
                cJSON_AddItemToArray(array, cJSON_CreateNumber(sources[i]));
}

static void add_steps(cJSON *object, const struct view *view) {
        cJSON *array = cJSON_AddArrayToObject(object, "steps"), *child;

        for (size_t i = 0; i < plan_n_steps(view->plan); i++) {
                struct plan_step step = plan_step(view->plan, i);
                struct work work = view_work_of_step(view, i);

                child = cJSON_CreateObject();
                cJSON_AddItemToArray(array, child);
                cJSON_AddStringToObject(child, "op", step.op);
                cJSON_AddStringToObject(child, "class", step_class_name(step.class));
                cJSON_AddStringToObject(child, "node", step.node);
                cJSON_AddStringToObject(child, "source", step.source);
                cJSON_AddStringToObject(child, "shape", step.shape);
                cJSON_AddStringToObject(child, "kernel", step.kernel);
                if (step.is_reference)
                        cJSON_AddBoolToObject(child, "reference", true);
                if (step.why)
                        cJSON_AddStringToObject(child, "why", step.why);
                add_sources(child, view->plan, i);
                common_json_number(child, "flop", step.flop);
                cJSON_AddNumberToObject(child, "bytes", (double)step.bytes);
                add_times(child, view, &work);
        }
}

int view_print_json(const struct view *view, struct error *error) {
        cJSON *object = cJSON_CreateObject();

        add_model(object, view->model);
        add_plan(object, view);
        add_class_sums(object, view);
        add_steps(object, view);
        return common_print_json(object, error);
}
