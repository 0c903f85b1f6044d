#pragma once
/*
 * lowering_internal: the inside of a lowering, for lowering*.c alone.
 *
 * lowering.c has the story and where values are; lowering_place.c buffers, constants and slices;
 * lowering_step.c steps, what they are good for, and choices among them; lowering_ends.c what comes in and
 * goes out.
 */
#include "engine/lowering.h"
#include "engine/plan_internal.h"
#include "engine/slices.h"

#define PLACES_MAX 4u /* layouts in which one value is kept; a further one is made again each time */

/* Where a value is: as made, and as reordered for users that want it otherwise. */
struct places {
        struct operand operands[PLACES_MAX];
        size_t n;
};

struct lowering {
        struct plan *plan;
        struct weights *weights;
        struct places *places;     /* for each value */
        uint32_t *last_use;        /* for each value: the last node, by index, that uses it */
        uint32_t *buffer_last_use; /* for each buffer: of the values in it */
        size_t n_buffer_last_use;
        uint32_t current; /* node, by index */
        uint32_t choice;  /* of the current node, or PLAN_NO_CHOICE */
        struct slices *slices;
        bool at_output; /* all nodes are done, and what is used is the network's output */
};

/* A buffer of the plan; constant: its bytes, NULL where they are in the arena. */
int lowering_add_buffer(struct lowering *lowering, const void *constant, size_t bytes, uint32_t *ret_buffer,
                        struct error *error);

/* Says what the step just added is good for; why: from the plan's pool, NULL where memory is out. */
int lowering_explain(struct lowering *lowering, const char *why, struct error *error);

/* The number of the input of a network that value is, n_network_inputs where it is none. */
size_t lowering_network_input(const struct graph *graph, uint32_t value);

/* Adds the step that brings in an input, which is defined then. The picture goes straight into layout want
 * where that is one of the two simple ones. */
int lowering_define_input(struct lowering *lowering, const struct layout *want, struct error *error);
int lowering_define_network_input(struct lowering *lowering, uint32_t value, struct error *error);

/* Brings what a run gives back to where it will be found. */
int lowering_watch(struct lowering *lowering, struct error *error);
int lowering_network_outputs(struct lowering *lowering, struct error *error);
