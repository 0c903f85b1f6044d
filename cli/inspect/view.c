#include "cli/inspect/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void view_release(struct view *view) {
        if (view->plan)
                plan_free(view->plan);
        if (view->model)
                model_free(view->model);
        free(view->step_ms);
}

static void work_add(struct work *work, const struct view *view, size_t index) {
        work->n_steps++;
        work->flop += plan_step(view->plan, index).flop;
        work->ms += view->step_ms ? view->step_ms[index] : 0;
}

struct work view_work_of_step(const struct view *view, size_t index) {
        struct work work = {0};

        work_add(&work, view, index);
        return work;
}

struct work view_work_of_class(const struct view *view, enum step_class class) {
        struct work work = {0};

        for (size_t i = 0; i < plan_n_steps(view->plan); i++)
                if (plan_step(view->plan, i).class == class)
                        work_add(&work, view, i);
        return work;
}

struct work view_work_of_references(const struct view *view) {
        struct work work = {0};

        for (size_t i = 0; i < plan_n_steps(view->plan); i++)
                if (plan_step(view->plan, i).is_reference)
                        work_add(&work, view, i);
        return work;
}

struct work view_work(const struct view *view) {
        struct work work = {0};

        for (size_t i = 0; i < plan_n_steps(view->plan); i++)
                work_add(&work, view, i);
        return work;
}

double view_share(const struct view *view, const struct work *work) {
        return view->total_ms > 0 ? work->ms / view->total_ms : 0;
}

double work_flop_per_s(const struct work *work) {
        return work->ms > 0 ? work->flop / (work->ms / 1e3) : 0;
}

double view_peak_share(const struct view *view, const struct work *work) {
        return view->peak_flop_per_s > 0 ? work_flop_per_s(work) / view->peak_flop_per_s : 0;
}

double view_arena_ratio(const struct view *view) {
        size_t bound = plan_arena_bound_bytes(view->plan);

        return bound > 0 ? (double)plan_arena_bytes(view->plan) / (double)bound : 1;
}

const char *view_short_kernel(const char *kernel, char buffer[VIEW_KERNEL_BYTES]) {
        const char *core = strstr(kernel, "_core");
        size_t n = core && core[strlen("_core")] == '\0' ? (size_t)(core - kernel) : strlen(kernel);

        snprintf(buffer, VIEW_KERNEL_BYTES, "%.*s", (int)n, kernel);
        return buffer;
}

double view_run_flop(const struct view *view) {
        size_t part_batch = plan_part_batch(view->plan);
        double flop = view_work(view).flop;

        return part_batch > 0 ? flop * (double)(plan_batch(view->plan) / part_batch) : flop;
}

double view_run_peak_share(const struct view *view) {
        double peak =
                view->peak_flop_per_s * (plan_part_batch(view->plan) > 0 ? plan_threads(view->plan) : 1);

        return view->run_ms > 0 && peak > 0 ? view_run_flop(view) / (view->run_ms / 1e3) / peak : 0;
}
