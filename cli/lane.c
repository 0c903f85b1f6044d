#include "cli/lane.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

int lane_new(struct lane **ret_lane, const struct model *model, const struct plan *plan, bool exact,
             struct error *error) {
        _cleanup_(lane_freep) struct lane *lane = calloc(1, sizeof(*lane));
        struct model_input input = model_input(model);
        size_t pixels_bytes;
        int r;

        if (!lane)
                return error_no_memory(error);
        lane->model = model;
        lane->plan = plan;
        lane->exact = exact;
        lane->n_classes = plan_output_elements(plan) / plan_batch(plan);
        if (input.channels != 3)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "model %s takes %zu channels; images need a model of 3", model_name(model),
                                 input.channels);
        if (!size_multiply(&lane->image_bytes, input.height, input.width) ||
            !size_multiply(&lane->image_bytes, lane->image_bytes, input.channels) ||
            !size_multiply(&pixels_bytes, lane->image_bytes, plan_batch(plan)))
                return error_no_memory(error);
        lane->pixels = malloc(pixels_bytes);
        lane->output = calloc(plan_output_elements(plan), sizeof(*lane->output));
        if (!lane->pixels || !lane->output)
                return error_no_memory(error);
        r = image_decoder_new(&lane->decoder, error);
        if (r < 0)
                return r;
        r = run_new(&lane->run, plan, error);
        if (r < 0)
                return r;
        *ret_lane = steal_ptr(&lane);
        return 0;
}

void lane_free(struct lane *lane) {
        if (lane->run)
                run_free(lane->run);
        if (lane->decoder)
                image_decoder_free(lane->decoder);
        free(lane->pixels);
        free(lane->output);
        free(lane);
}

int lane_decode(struct lane *lane, size_t index, const void *bytes, size_t size, struct image_info *ret_info,
                struct error *error) {
        const struct image_options options = {.exact = lane->exact};

        return image_decode(lane->decoder, lane->pixels + index * lane->image_bytes,
                            model_preprocess(lane->model), &options, bytes, size, ret_info, error);
}

int lane_execute(struct lane *lane, struct error *error) {
        return run_execute(lane->run, lane->pixels, lane->output, error);
}

struct lane_thread {
        pthread_t thread;
        struct lane *lane;
        void (*work)(void *context, struct lane *lane);
        void *context;
};

static void *lane_main(void *argument) {
        struct lane_thread *thread = argument;

        thread->work(thread->context, thread->lane);
        return NULL;
}

int lanes_run(size_t n_lanes, const struct model *model, const struct plan *plan, bool exact,
              void (*work)(void *context, struct lane *lane), void (*watch)(void *context), void *context,
              struct error *error) {
        _cleanup_(freep) struct lane_thread *threads = calloc(n_lanes, sizeof(*threads));
        size_t n_made = 0, n_started = 0;
        int r = 0;

        if (!threads)
                return error_no_memory(error);
        while (n_made < n_lanes) {
                r = lane_new(&threads[n_made].lane, model, plan, exact, error);
                if (r < 0)
                        break;
                n_made++;
        }
        while (n_started < n_made) {
                struct lane_thread *thread = &threads[n_started];

                thread->work = work;
                thread->context = context;
                r = pthread_create(&thread->thread, NULL, lane_main, thread);
                if (r != 0) {
                        r = error_set(error, ERROR_IO, "cannot start a thread: %s", strerror(r));
                        break;
                }
                n_started++;
        }
        if (n_started > 0) {
                r = 0;
                watch(context);
        }
        for (size_t i = 0; i < n_started; i++)
                pthread_join(threads[i].thread, NULL);
        for (size_t i = 0; i < n_made; i++)
                lane_free(threads[i].lane);
        return r;
}
