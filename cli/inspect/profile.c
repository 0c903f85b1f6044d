#include <stdlib.h>

#include "base/clock.h"
#include "cli/common.h"
#include "cli/inspect/view.h"
#include "cli/progress.h"
#include "cli/statistics.h"
#include "engine/peak.h"

#define PROFILE_WARM_UP_RUNS 3u
#define PROFILE_WARM_UP_NS   200000000u /* clocks rise and pages are touched in this time */
#define PROFILE_MIN_RUNS     5u
#define PROFILE_MAX_RUNS     200u
#define PROFILE_NS           1500000000u

/* What a run needs, and what it gives. */
struct profile {
        struct run *run;
        unsigned char *pixels;
        float *output;
        uint64_t *step_ns;    /* of one run */
        uint64_t *samples_ns; /* [steps][PROFILE_MAX_RUNS] */
};

static void profile_release(struct profile *profile) {
        if (profile->run)
                run_free(profile->run);
        free(profile->pixels);
        free(profile->output);
        free(profile->step_ns);
        free(profile->samples_ns);
}

static int profile_prepare(struct profile *profile, const struct view *view, struct error *error) {
        struct model_input input = model_input(view->model);
        size_t n_steps = plan_n_steps(view->plan), size;

        if (!size_multiply(&size, input.height, input.width) ||
            !size_multiply(&size, size, input.channels) ||
            !size_multiply(&size, size, plan_batch(view->plan)))
                return error_no_memory(error);
        profile->pixels = malloc(size);
        profile->output = calloc(plan_output_elements(view->plan), sizeof(*profile->output));
        profile->step_ns = calloc(n_steps, sizeof(*profile->step_ns));
        profile->samples_ns = calloc(n_steps, PROFILE_MAX_RUNS * sizeof(*profile->samples_ns));
        if (!profile->pixels || !profile->output || !profile->step_ns || !profile->samples_ns)
                return error_no_memory(error);
        common_fill_noise(profile->pixels, size);
        return run_new(&profile->run, view->plan, error);
}

static int run_once(struct profile *profile, struct error *error) {
        return run_profile(profile->run, profile->pixels, profile->output, profile->step_ns, error);
}

static int measure(struct profile *profile, const struct view *view, size_t *ret_n_runs,
                   struct error *error) {
        struct progress progress;
        uint64_t started = clock_ns();
        size_t n_runs = 0;
        int r = 0;

        for (unsigned i = 0; i < PROFILE_WARM_UP_RUNS || clock_ns() - started < PROFILE_WARM_UP_NS; i++) {
                r = run_once(profile, error);
                if (r < 0)
                        return r;
        }
        progress_begin(&progress, "profile");
        started = clock_ns();
        while (n_runs < PROFILE_MIN_RUNS ||
               (n_runs < PROFILE_MAX_RUNS && clock_ns() - started < PROFILE_NS)) {
                r = run_once(profile, error);
                if (r < 0)
                        break;
                for (size_t s = 0; s < plan_n_steps(view->plan); s++)
                        profile->samples_ns[s * PROFILE_MAX_RUNS + n_runs] = profile->step_ns[s];
                n_runs++;
                progress_update(&progress, (double)(clock_ns() - started) / PROFILE_NS);
        }
        progress_end(&progress);
        *ret_n_runs = n_runs;
        return r;
}

int view_profile(struct view *view, struct error *error) {
        _cleanup_(profile_release) struct profile profile = {0};
        int r;

        r = profile_prepare(&profile, view, error);
        if (r >= 0)
                r = measure(&profile, view, &view->n_runs, error);
        if (r < 0)
                return r;
        view->step_ms = calloc(plan_n_steps(view->plan), sizeof(*view->step_ms));
        if (!view->step_ms)
                return error_no_memory(error);
        for (size_t s = 0; s < plan_n_steps(view->plan); s++) {
                view->step_ms[s] =
                        statistics_of(profile.samples_ns + s * PROFILE_MAX_RUNS, view->n_runs).median_ms;
                view->total_ms += view->step_ms[s];
        }
        /* The core is warm now. */
        view->peak_flop_per_s = peak_flop_per_s() * plan_threads(view->plan);
        return 0;
}
