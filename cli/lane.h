#pragma once
/*
 * lane: all that one thread needs to take images from bytes to an answer: decoder, run and buffers.
 *
 * One a thread; model and plan are shared and must outlive it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/image/image.h"
#include "engine/model.h"
#include "engine/plan.h"

struct lane {
        const struct model *model;
        const struct plan *plan;
        struct image_decoder *decoder;
        struct run *run;
        unsigned char *pixels; /* uint8 [batch, H, W, 3] */
        size_t image_bytes;    /* of one image in pixels */
        float *output;         /* float32 [batch, classes] */
        size_t n_classes;
        bool exact;
};

int lane_new(struct lane **ret_lane, const struct model *model, const struct plan *plan, bool exact,
             struct error *error);
void lane_free(struct lane *lane);
DEFINE_CLEANUP(lane)

/* Bytes of a file -> place `index` of the batch. */
int lane_decode(struct lane *lane, size_t index, const void *bytes, size_t size, struct image_info *ret_info,
                struct error *error);

int lane_execute(struct lane *lane, struct error *error);

/*
 * Calls work(context, lane) in n_lanes threads, each with a lane of its own, and watch(context) in the
 * calling thread meanwhile (it returns when it has seen the end). Returns when all are done. Where the
 * system gives fewer threads, fewer work. Fails where not one lane or thread can be made, before any work
 * and without a call of watch; failures of the work itself are context's to keep.
 */
int lanes_run(size_t n_lanes, const struct model *model, const struct plan *plan, bool exact,
              void (*work)(void *context, struct lane *lane), void (*watch)(void *context), void *context,
              struct error *error);
