#pragma once
/*
 * lowering: turns the nodes of a specialised graph into steps, one node after the other.
 *
 * Operators call this from their lower function. An operand is a place in memory together with its layout;
 * buffers get addresses only when all steps are known. Used by the thread that builds the plan.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/graph.h"
#include "engine/kernel.h"

struct lowering;

struct operand {
        uint32_t buffer;
        const struct layout *layout;
};

const struct graph *lowering_graph(const struct lowering *lowering);
struct kernels *lowering_kernels(struct lowering *lowering);

/* Where value is; want: the layout it must have, NULL: any. Emits a reorder where it must. */
int lowering_use(struct lowering *lowering, uint32_t value, const struct layout *want,
                 struct operand *ret_operand, struct error *error);

/* The same data in layout want, in a place of its own unless it has that layout already. */
int lowering_reorder(struct lowering *lowering, const struct node *node, struct operand operand,
                     const struct layout *want, struct operand *ret_operand, struct error *error);

/* The layout that value has now; want for lowering_use() of another value. Never reorders. */
int lowering_layout(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                    struct error *error);

/* As lowering_use(), but to be overwritten: value's own place where node is its last user, a copy elsewhere.
 */
int lowering_use_writable(struct lowering *lowering, const struct node *node, uint32_t value,
                          const struct layout *want, struct operand *ret_operand, struct error *error);

/* Constant data seen as the layout as, packed into want; shared with all plans of the model. */
int lowering_constant(struct lowering *lowering, struct tensor *tensor, const struct layout *as,
                      const struct layout *want, struct operand *ret_operand, struct error *error);

/* A copy of bytes that lives as long as the plan; NULL where memory is out. */
void *lowering_keep(struct lowering *lowering, const void *bytes, size_t n_bytes);

/* A new place. */
int lowering_place(struct lowering *lowering, const struct layout *layout, struct operand *ret_operand,
                   struct error *error);

/* Adds the step that runs kernel on operands (kernel_n_args() of them, the destination last). op: for
 * tables. */
int lowering_emit(struct lowering *lowering, const struct node *node, const char *op,
                  const struct kernel *kernel, const struct operand *operands, double flop,
                  struct error *error);

/* From now on value is there. Several values may share a place where they are the same bytes. */
void lowering_define(struct lowering *lowering, uint32_t value, struct operand operand);
