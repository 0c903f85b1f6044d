#pragma once
/* plan_internal: the inside of a plan, for plan*.c, lowering*.c and run.c alone. */
#include "engine/allowance.h"
#include "engine/graph.h"
#include "engine/kernel.h"
#include "engine/model_internal.h"
#include "engine/plan.h"
#include "engine/tuning.h"

/* What a run reads; a native step gets its address. One of them is set. */
struct run_input {
        const unsigned char *pixels; /* uint8 [N, H, W, C] */
        const float *tensor;         /* as the file declares it: [N, C, H, W] or [N, H, W, C] */

        const float *const *network; /* each input of a network, see engine/network.h */
};

#define BUFFER_RUN_INPUT 0u /* the struct run_input of the run */

struct plan_buffer {
        size_t bytes;
        const void *constant; /* weights; NULL: in the arena, or BUFFER_RUN_INPUT */
        uint32_t first, last; /* steps */
        size_t offset;        /* in the arena */
};

struct plan_place {
        uint32_t buffer;
        size_t offset; /* bytes */
};

/* A node that can be done in several ways, see lowering_choose(). */
struct plan_choice {
        const char *question;
        const char *const *labels;
        size_t n, usual, taken;
};

#define PLAN_NO_CHOICE UINT32_MAX

struct step {
        const struct kernel *kernel;
        uint32_t choice; /* whose outcome it is, or PLAN_NO_CHOICE */
        const char *node, *op, *source, *shape, *why;
        enum step_class class;
        const uint32_t *buffers; /* kernel_n_args() */
        const size_t *offsets;   /* bytes, from the start of each */
        double flop;
        size_t bytes;
};

/* A value that the model is watched for: in the arena until the end of a run, or constant. */
struct watched {
        struct plan_place place;
        struct tensor *constant; /* float32, a reference; NULL: in place */
        struct shape shape;
};

/* Which alternative of each choice: the usual one, that of the tuning, or for the tuner the variant-th. */
struct plan_taste {
        struct tuning *tuning;
        size_t variant; /* 0: the usual one; each choice has as many as alternatives, and the usual one
                           beyond */
        bool no_winograd;
        bool bf16;      /* steps compute in bfloat16 where they can */
        bool fall_back; /* float32, whatever the model would take */
};

struct plan {
        const struct model *model;
        size_t batch;
        unsigned threads;
        size_t image_elements; /* of the input, one image of the batch */
        struct kernels *kernels;
        struct graph *graph; /* for the names of nodes */
        struct pool *pool;

        struct step *steps;
        size_t n_steps, n_steps_allocated;
        struct packed **packed; /* a reference each */
        size_t n_packed, n_packed_allocated;
        struct plan_buffer *buffers;
        size_t n_buffers, n_buffers_allocated;

        struct plan_taste taste;
        struct plan_choice *choices;
        size_t n_choices, n_choices_allocated;

        struct plan *
                part; /* where it is divided: what each thread runs; the fields above and below are unused */

        struct plan_place output;
        size_t output_elements;
        struct shape output_shape;
        struct watched *watched; /* one for each of the graph's, in its order */
        size_t n_watched;
        size_t arena_bytes, arena_bound_bytes, scratchpad_bytes;

        struct allowance allowance;
        size_t packed_bytes, kept_bytes; /* constants in kernels' layouts; tables that steps keep */
        double work;                     /* of all steps, as limits count it */

        struct plan_place *network_outputs; /* for each output of a network that is not constant */
};

/* What options, and the precision of model, ask for; makes model fall back where its tuning says so. */
struct plan_taste plan_taste_of(struct model *model, const struct plan_options *options);

/* The question of whether a model whose precision is open is faster in that; answers are names of
 * precisions. */
#define PLAN_PRECISION_QUESTION "precision"

/* A plan that is not divided; of options all but tuning and no_winograd, which are in taste. */
int plan_new_whole(struct plan **ret_plan, struct model *model, const struct plan_options *options,
                   const struct plan_taste *taste, struct error *error);

/* A plan of options->threads parts, each of which takes part_batch images at a time. */
int plan_new_divided(struct plan **ret_plan, struct model *model, const struct plan_options *options,
                     size_t part_batch, const struct plan_taste *taste, struct error *error);

/* A plan of a network whose graph is simplified and whose inputs have shapes; weights must outlive it.
 * Without a model, which only pictures need. */
int plan_new_network(struct plan **ret_plan, const struct graph *graph, struct weights *weights,
                     struct error *error);

/* As run_profile(), with pixels or a tensor. */
int run_profile_input(struct run *run, struct run_input input, float *output, uint64_t *step_ns,
                      struct error *error);

/* inputs: one for each input of the network. */
int run_execute_network(struct run *run, const float *const *inputs, struct error *error);

/* What the last execution wrote to a place. */
const float *run_place(const struct run *run, struct plan_place place);

/* The question of how a batch is divided among threads, and the label of one answer. */
void plan_division_question(char ret_text[TUNING_MAX_TEXT], const struct plan_taste *taste, size_t batch,
                            unsigned threads);
void plan_division_label(char ret_text[TUNING_MAX_TEXT], size_t part_batch);

/* The plan that has the steps: the part of a divided one. */
const struct plan *plan_with_steps(const struct plan *plan);

/* Fills steps, buffers and the output from the plan's graph; constants go to weights. */
int plan_lower(struct plan *plan, struct weights *weights, struct error *error);

/* Gives packed back when the plan is freed; takes over the reference, also on failure. */
int plan_keep_packed(struct plan *plan, struct packed *packed, struct error *error);
