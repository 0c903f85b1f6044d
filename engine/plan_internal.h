#pragma once
/* plan_internal: the inside of a plan, for plan.c, lowering.c and run.c alone. */
#include "engine/graph.h"
#include "engine/kernel.h"
#include "engine/model_internal.h"
#include "engine/plan.h"

/* What a run reads; a native step gets its address. One of them is set. */
struct run_input {
        const unsigned char *pixels; /* uint8 [N, H, W, C] */
        const float *tensor;         /* [N, C, H, W] */

        const float *const *network; /* each input of a network, see engine/network.h */
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
        const char *node, *op, *shape;
        const uint32_t *buffers; /* kernel_n_args() */
        double flop;
        size_t bytes;
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
        struct plan_buffer *buffers;
        size_t n_buffers, n_buffers_allocated;

        uint32_t output_buffer;
        size_t output_elements;
        struct shape output_shape;
        size_t arena_bytes, arena_bound_bytes, scratchpad_bytes;

        uint32_t *network_outputs; /* buffers, for each output of a network that is not constant */
};

/* A plan of a network whose graph is simplified and whose inputs have shapes; weights must outlive it.
 * Without a model, which only pictures need. */
int plan_new_network(struct plan **ret_plan, const struct graph *graph, struct weights *weights,
                     struct error *error);

/* inputs: one for each input of the network. */
int run_execute_network(struct run *run, const float *const *inputs, struct error *error);

/* What the last execution wrote to a buffer. */
const float *run_buffer(struct run *run, uint32_t buffer);

/* Fills steps, buffers and the output from the plan's graph; constants go to weights. */
int plan_lower(struct plan *plan, struct weights *weights, struct error *error);
