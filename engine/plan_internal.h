#pragma once
/* plan_internal: the inside of a plan, for plan.c, lowering.c and run.c alone. */
#include "engine/graph.h"
#include "engine/kernel.h"
#include "engine/model_internal.h"
#include "engine/plan.h"

/* What a run reads; a native step gets its address. One of the two is set. */
struct run_input {
        const unsigned char *pixels; /* uint8 [N, H, W, C] */
        const float *tensor;         /* [N, C, H, W] */
};

#define BUFFER_RUN_INPUT 0u /* the struct run_input of the run */

struct plan_buffer {
        size_t bytes;
        const void *constant; /* weights; NULL: in the arena, or BUFFER_RUN_INPUT */
        uint32_t first, last; /* steps */
        size_t offset;        /* in the arena */
};

struct step {
        const struct kernel *kernel;
        const char *node, *op, *source, *shape, *why;
        enum step_class class;
        const uint32_t *buffers; /* kernel_n_args() */
        const size_t *offsets;   /* bytes, from the start of each */
        double flop;
        size_t bytes;
};

/* A value that the model is watched for: in the arena until the end of a run, or constant. */
struct watched {
        uint32_t buffer;
        struct tensor *constant; /* float32, a reference; NULL: in buffer */
        struct shape shape;
};

struct plan {
        const struct model *model;
        size_t batch;
        unsigned threads;
        struct kernels *kernels;
        struct graph *graph; /* for the names of nodes */
        struct pool *pool;

        struct step *steps;
        size_t n_steps, n_steps_allocated;
        struct packed **packed; /* a reference each */
        size_t n_packed, n_packed_allocated;
        struct plan_buffer *buffers;
        size_t n_buffers, n_buffers_allocated;

        uint32_t output_buffer;
        size_t output_offset; /* bytes */
        size_t output_elements;
        struct shape output_shape;
        struct watched *watched; /* one for each of the graph's, in its order */
        size_t n_watched;
        size_t arena_bytes, arena_bound_bytes, scratchpad_bytes;
};

/* Fills steps, buffers and the output from the plan's graph; constants go to weights. */
int plan_lower(struct plan *plan, struct weights *weights, struct error *error);

/* Gives packed back when the plan is freed; takes over the reference, also on failure. */
int plan_keep_packed(struct plan *plan, struct packed *packed, struct error *error);
