#pragma once
/*
 * view: what `saccade inspect` has found out about a model, for those who print it.
 *
 * Filled by inspect.c, read by text.c, json.c, dot.c and svg.c.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "engine/model.h"
#include "engine/plan.h"

struct view {
        struct model *model;
        struct plan *plan;

        /* Without --profile: NULL and 0. */
        double *step_ms;        /* medians; of a divided plan, of one part on one thread */
        double total_ms;        /* of the steps */
        double run_ms;          /* the median of whole runs */
        double peak_flop_per_s; /* of the threads that work on a step: all, or one of a divided plan */
        size_t n_runs;
};

void view_release(struct view *view);

/* Runs the plan again and again and fills what --profile asks for. */
int view_profile(struct view *view, struct error *error);

/* What some steps do together; all of the profile's are 0 without one. */
struct work {
        size_t n_steps;
        double flop, ms;
};
struct work view_work_of_step(const struct view *view, size_t index);
struct work view_work_of_class(const struct view *view, enum step_class class);
struct work view_work_of_references(const struct view *view); /* steps with is_reference */
struct work view_work(const struct view *view);               /* of all steps */

double view_share(const struct view *view, const struct work *work); /* of the time, 0 to 1 */
double work_flop_per_s(const struct work *work);
double view_peak_share(const struct view *view, const struct work *work); /* of the peak, 0 to 1 */

double view_run_flop(const struct view *view); /* of a whole run: all parts */

/* Of the peak of all threads, by a whole run. */
double view_run_peak_share(const struct view *view);

/* arena_bytes / arena_bound_bytes: 1 is perfect. */
double view_arena_ratio(const struct view *view);

/* "brgconv:avx512_core" -> "brgconv:avx512", where room is dear: what is cut off distinguishes nothing here.
 */
#define VIEW_KERNEL_BYTES 64u
const char *view_short_kernel(const char *kernel, char buffer[VIEW_KERNEL_BYTES]);

/* Both print to stdout. */
int view_print_text(const struct view *view, struct error *error);
int view_print_json(const struct view *view, struct error *error);
