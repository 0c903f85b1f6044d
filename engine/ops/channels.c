#include "engine/native/native.h"
#include "engine/ops/families.h"
#include "engine/team.h"

/* Channels (fuse_channels.h): runs of channels of several values, one after the other. Attribute "runs": for
 * each its input, its first channel there, and how many there are. */

#define LEAST_BYTES ((size_t)1 << 18) /* for a team: less takes a core some 10 us */

struct channels {
        size_t pixels, dst_pixel, n_runs, n_sources;
        size_t threads;
        const struct native_run *runs; /* source: which input */
};

struct job {
        const struct channels *channels;
        void *const *addresses;
};

static void channels_part(void *argument, size_t thread, size_t n_threads) {
        const struct job *job = argument;
        const struct channels *c = job->channels;
        size_t begin, end;

        team_share(c->pixels, thread, n_threads, &begin, &end);
        native_best()->channels(c->runs, c->n_runs, (const float *const *)job->addresses,
                                job->addresses[c->n_sources], c->dst_pixel, begin, end);
}

static void channels_run(const void *params, void *const *addresses) {
        const struct channels *c = params;
        struct job job = {.channels = c, .addresses = addresses};

        if (c->threads == 1)
                channels_part(&job, 0, 1);
        else
                team_run(c->threads, channels_part, &job);
}

OPERATOR_INFER(channels) {
        (void)error;
        graph_set_output(graph, node, DTYPE_F32, &graph->values[node->outputs[0]].shape);
        return 0;
}

OPERATOR_LOWER(channels) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct attribute *attribute = node_attribute(node, "runs");
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        struct operand operands[KERNEL_CONCAT_MAX];
        const struct layout *layouts[KERNEL_CONCAT_MAX];
        struct channels channels = {.pixels = shape->dims[0] * shape->dims[2] * shape->dims[3],
                                    .n_runs = attribute->n / 3,
                                    .n_sources = node->n_inputs};
        _cleanup_(freep) struct native_run *runs = calloc(MAX(channels.n_runs, 1u), sizeof(*runs));
        const struct kernel *kernel;
        int r;

        if (!runs)
                return error_no_memory(error);
        for (size_t i = 0; i < node->n_inputs; i++) {
                const struct shape *x = &graph->values[node->inputs[i]].shape;
                const struct layout *layout;

                r = lowering_layout(lowering, node->inputs[i], &layout, error);
                if (r < 0)
                        return r;
                if (layout_pixel(layout) == 0)
                        layout = layout_channels_last(kernels, x);
                if (!layout)
                        return error_no_memory(error);
                r = lowering_use(lowering, node->inputs[i], layout, &operands[i], error);
                if (r < 0)
                        return r;
                layouts[i] = layout;
        }
        r = lowering_place_pixels(lowering, node->outputs[0], &operands[node->n_inputs], error);
        if (r < 0)
                return r;
        layouts[node->n_inputs] = operands[node->n_inputs].layout;
        channels.dst_pixel = layout_pixel(layouts[node->n_inputs]);
        channels.threads =
                layout_bytes(layouts[node->n_inputs]) < LEAST_BYTES ? 1 : kernels_threads(kernels);
        for (size_t i = 0; i < channels.n_runs; i++) {
                const int64_t *run = attribute->ints + 3 * i;

                runs[i] = (struct native_run){.source = (size_t)run[0],
                                              .first = (size_t)run[1],
                                              .n = (size_t)run[2],
                                              .pixel = layout_pixel(layouts[run[0]])};
        }
        channels.runs = lowering_keep(lowering, runs, channels.n_runs * sizeof(*runs));
        if (!channels.runs)
                return error_no_memory(error);
        r = kernel_native_new(&kernel, kernels, "native:channels", channels_run, &channels, sizeof(channels),
                              layouts, node->n_inputs + 1, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[node->n_inputs]);
        return 0;
}
