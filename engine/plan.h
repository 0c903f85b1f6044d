#pragma once
/*
 * plan: a model made ready for one batch size and thread count; run: what changes while it executes.
 *
 * A plan is immutable after plan_new() and may be shared by threads. A run belongs to one thread at a time;
 * it owns the activation arena and the scratchpad, so that run_execute() allocates nothing and takes no
 * lock. A plan for more than one thread forms an OpenMP team of the calling thread; the process should wait
 * passively, see engine/cpu.h.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/step_class.h"

struct model;
struct plan;
struct run;

struct tuning;

struct plan_options {
        size_t batch;          /* images, at least 1 */
        unsigned threads;      /* at least 1 */
        struct tuning *tuning; /* what was measured (engine/tuner.h); NULL: nothing was */
        bool no_winograd; /* convolutions as they are defined: exact to the last bits, slower, less memory */

        /* Pixels, for a model that leaves them open; 0: those of its pre-processing. */
        size_t height, width;
};

#define PLAN_MAX_BATCH 1024u

/* The model must outlive the plan. Fails with ERROR_UNSUPPORTED, ERROR_INVALID (both name the node),
 * ERROR_LIMIT (the batch, or the memory that it would take), ERROR_NO_MEMORY. */
int plan_new(struct plan **ret_plan, struct model *model, const struct plan_options *options,
             struct error *error);
void plan_free(struct plan *plan);
DEFINE_CLEANUP(plan)

size_t plan_batch(const struct plan *plan);
unsigned plan_threads(const struct plan *plan);

/* A plan may be divided: each of its threads then runs images of its own, so many at a time; the steps are
 * those of one such part, the arena that of all. 0: all threads work on the whole batch. */
size_t plan_part_batch(const struct plan *plan);
size_t plan_output_elements(const struct plan *plan); /* of the whole batch; classes = that / batch */
size_t plan_arena_bytes(const struct plan *plan);
size_t plan_arena_bound_bytes(const struct plan *plan); /* largest sum of live tensors at any step */
size_t plan_scratchpad_bytes(const struct plan *plan);

size_t plan_weight_bytes(const struct plan *plan); /* constants that its steps read, each once */

/* One step, for tables. Strings live as long as the plan. */
struct plan_step {
        const char *node;   /* the ONNX node it came from, the last one of those fused */
        const char *op;     /* "Conv+Clip", "Reorder", ... */
        const char *kernel; /* the implementation: "jit:avx2", "jit_dw:avx2", "native", ... */
        const char *source; /* shape and layout of the first argument, "" for the input */
        const char *shape;  /* output shape and layout: "1x64x112x112 aBcd8b" */
        const char *why;    /* what a reorder or a copy is good for; NULL for other steps */
        bool is_reference;  /* one of oneDNN's kernels for any CPU, see kernel_is_reference() */
        enum step_class class;
        double flop;  /* multiplications and additions, for the batch */
        size_t bytes; /* read and written: activations and weights */
};
size_t plan_n_steps(const struct plan *plan);
struct plan_step plan_step(const struct plan *plan, size_t index);

/* The steps whose results step index reads, in no order, each once; at most max of them, max being at most
 * PLAN_MAX_SOURCES. */
#define PLAN_MAX_SOURCES 64u
size_t plan_step_sources(const struct plan *plan, size_t index, uint32_t *ret_steps, size_t max);

/* The plan must outlive the run. */
int run_new(struct run **ret_run, const struct plan *plan, struct error *error);
void run_free(struct run *run);
DEFINE_CLEANUP(run)

/* pixels: uint8 [N, H, W, 3], normalised on the way in; output: float32 [N, classes], as the network gives
 * it. */
int run_execute(struct run *run, const unsigned char *pixels, float *output, struct error *error);

/* input: float32 as the file declares it, [N, C, H, W] or [N, H, W, C], taken as it is. */
int run_execute_tensor(struct run *run, const float *input, float *output, struct error *error);

/* What the model was opened to watch (struct model_watch), in that order. Row-major, as the file has it,
 * with up to 8 dimensions; integers became float32. Valid after a run, until the next. */
size_t plan_n_watched(const struct plan *plan);
size_t plan_watched_shape(const struct plan *plan, size_t index, size_t ret_dims[8]);
const float *run_watched(const struct run *run, size_t index);

/* As run_execute(), and the time of each step; step_ns has plan_n_steps() elements. */
int run_profile(struct run *run, const unsigned char *pixels, float *output, uint64_t *step_ns,
                struct error *error);

/* output [classes] of one image -> probabilities [classes]: softmax, unless the network ends in one. */
void plan_probabilities(const struct plan *plan, const float *output, float *probabilities);

/* Shape of the output for batch images, for writing it down: up to 8 dimensions. */
size_t plan_output_shape(const struct plan *plan, size_t ret_dims[8]);
