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
#include "engine/weights.h"

struct lowering;

struct operand {
        uint32_t buffer;
        size_t offset; /* bytes, from the buffer's start */
        const struct layout *layout;
};

const struct graph *lowering_graph(const struct lowering *lowering);
struct kernels *lowering_kernels(struct lowering *lowering);

/*
 * Which of n ways to lower the current node is taken, an index into labels. question says all that the speed
 * of each depends on, beside threads and instruction set, in 200 characters. usual: the one to take where
 * nothing was measured. To be called once for a node, before it emits anything. labels need not outlive the
 * call.
 */
#define LOWERING_MAX_ALTERNATIVES 12u
int lowering_choose(struct lowering *lowering, const char *question, const char *const *labels, size_t n,
                    size_t usual, size_t *ret_index, struct error *error);

/* Whether Winograd's filtering may be used. */
bool lowering_takes_winograd(const struct lowering *lowering);

/* Does the plan compute in bfloat16 where it can? */
bool lowering_takes_bf16(const struct lowering *lowering);

/* The type in which value is kept where its maker writes it: that of the graph, or bfloat16 (keep_bf16.h).
 */
enum dtype lowering_dtype(const struct lowering *lowering, uint32_t value);

/* Where value is; want: the layout it must have, NULL: any. Emits a reorder where it must. */
int lowering_use(struct lowering *lowering, uint32_t value, const struct layout *want,
                 struct operand *ret_operand, struct error *error);

/* The same data in layout want, in a place of its own unless it has that layout already. */
int lowering_reorder(struct lowering *lowering, const struct node *node, struct operand operand,
                     const struct layout *want, struct operand *ret_operand, struct error *error);

/* Copies from one place to another of the same shape. */
int lowering_copy(struct lowering *lowering, const struct node *node, struct operand from, struct operand to,
                  struct error *error);

/* The layout that value has now, of whatever type it is. Never reorders. */
int lowering_layout_any(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                        struct error *error);

/* The same in float32, as kernels want it that know nothing else; want for lowering_use() of this or another
 * value. */
int lowering_layout(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                    struct error *error);

/* As lowering_layout(), but without gaps: channels last for what lies in a slice. For kernels of oneDNN,
 * which take slices slowly or not at all. */
int lowering_dense_layout(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                          struct error *error);

/* As lowering_dense_layout() of value, but of the type in which result is kept. */
int lowering_dense_layout_for(struct lowering *lowering, uint32_t value, uint32_t result,
                              const struct layout **ret_layout, struct error *error);

/* May node write over operand, where one of its inputs lies? */
bool lowering_may_overwrite(const struct lowering *lowering, const struct node *node,
                            struct operand operand);

/* As lowering_use(), but to be overwritten: value's own place where node is its last user, a copy elsewhere.
 */
int lowering_use_writable(struct lowering *lowering, const struct node *node, uint32_t value,
                          const struct layout *want, struct operand *ret_operand, struct error *error);

/* Constant data seen as the layout as, packed into want; shared with all plans of the model. */
int lowering_constant(struct lowering *lowering, struct tensor *tensor, const struct layout *as,
                      const struct layout *want, struct operand *ret_operand, struct error *error);

/* weights_form_bytes() of the model's. */
size_t lowering_form_bytes(struct lowering *lowering, const struct tensor *tensor, const char *form);

/* A form of tensor that packer makes of elements of dtype (weights_pack_form() in engine/weights.h), shared
 * likewise. layout: as what kernels see its bytes, of which there are layout_bytes(layout); NULL: out of
 * memory. */
int lowering_constant_form(struct lowering *lowering, struct tensor *tensor, const char *form,
                           const struct layout *layout, enum dtype dtype, weights_packer *packer,
                           const void *params, struct operand *ret_operand, struct error *error);

/* Where the node that makes the feature map value had best write it, channels last and of lowering_dtype():
 * its slice of the concatenation that it goes into, or a new place. */
int lowering_place_pixels(struct lowering *lowering, uint32_t value, struct operand *ret_operand,
                          struct error *error);

/* Is the concatenation that makes value one whose parts lie in slices of one place? */
bool lowering_is_sliced(const struct lowering *lowering, uint32_t value);

/* The slice, channels last, of value, or of n_channels from first_channel on, in that place. */
int lowering_slice(struct lowering *lowering, uint32_t value, size_t first_channel, size_t n_channels,
                   struct operand *ret_operand, struct error *error);

/* Is value, or the same as value, at operand? */
bool lowering_is_at(const struct lowering *lowering, uint32_t value, struct operand operand);

/* Where value is the picture: quantised is made of its pixels at once, *ret_done says so. */
int lowering_define_quantised_input(struct lowering *lowering, uint32_t value, uint32_t quantised,
                                    bool *ret_done, struct error *error);

/* Says why the step just added brings from, float32 or integers, into to, the other of the two. */
int lowering_explain_quantise(struct lowering *lowering, uint32_t from, uint32_t to, struct error *error);

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
