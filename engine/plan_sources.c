#include "engine/plan_internal.h"

/* What an argument of a step touches of a buffer: all, or a slice of its channels. */
struct span {
        uint32_t buffer;
        size_t begin, end; /* channels */
};

#define SPAN_ALL_END SIZE_MAX

/* Slices lie channels last, so that one begins within the channels of the first pixel. Their layouts' bytes
 * are those of the whole, to which their strides lead. */
static struct span span_of(const struct plan *plan, const struct step *step, size_t arg) {
        const struct layout *layout = kernel_layout(step->kernel, arg);
        size_t element = dtype_bytes(layout_dtype(layout));
        struct shape shape = layout_shape(layout);
        struct span span = {.buffer = step->buffers[arg], .end = SPAN_ALL_END};

        if (shape_elements(&shape) * element >= plan->buffers[span.buffer].bytes || shape.rank != 4)
                return span;
        span.begin = step->offsets[arg] / element;
        span.end = span.begin + shape.dims[1];
        return span;
}

static bool overlap(struct span a, struct span b) {
        return a.buffer == b.buffer && a.begin < b.end && b.begin < a.end;
}

static bool covers(struct span a, struct span b) {
        return a.buffer == b.buffer && a.begin <= b.begin && b.end <= a.end;
}

struct sources {
        uint32_t *steps;
        size_t n, max;
};

static void sources_add(struct sources *sources, uint32_t step) {
        for (size_t i = 0; i < sources->n; i++)
                if (sources->steps[i] == step)
                        return;
        if (sources->n < sources->max)
                sources->steps[sources->n++] = step;
}

/* The steps that made what lies in span before step index. */
static void sources_of_span(struct sources *sources, const struct plan *plan, size_t index,
                            struct span span) {
        for (size_t i = index; i-- > plan->buffers[span.buffer].first;) {
                const struct step *step = &plan->steps[i];
                struct span written = span_of(plan, step, kernel_n_args(step->kernel) - 1);

                if (overlap(written, span))
                        sources_add(sources, (uint32_t)i);
                if (covers(written, span))
                        return;
        }
}

size_t plan_step_sources(const struct plan *divided, size_t index, uint32_t *ret_steps, size_t max) {
        const struct plan *plan = plan_with_steps(divided);
        const struct step *step = &plan->steps[index];
        struct sources sources = {.steps = ret_steps, .max = max};

        /* The destination too: where it holds something, as for a sum, that is read. */
        for (size_t k = 0; k < kernel_n_args(step->kernel); k++)
                if (step->buffers[k] != BUFFER_RUN_INPUT && !plan->buffers[step->buffers[k]].constant)
                        sources_of_span(&sources, plan, index, span_of(plan, step, k));
        return sources.n;
}
