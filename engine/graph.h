#pragma once
/*
 * graph: a network as values and nodes in execution order, the form in which it is read, simplified and
 * specialised.
 *
 * Values and nodes are addressed by index. Strings, attributes and arrays live in the pool of the graph that
 * made them; a clone borrows them from its origin, which must outlive it. Not thread safe while it is
 * changed; a graph that nobody changes may be read, and cloned, by many threads.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/pool.h"
#include "engine/eltwise.h"
#include "engine/tensor.h"

#define VALUE_NONE UINT32_MAX /* an optional input or output that is left out */

struct attention;
struct operator;

/* What the integers of a value mean: real = scale * (integer - zero_point). */
struct quantisation {
        float scale;
        int32_t zero_point;
        const float
                *scales; /* of weights: one for each output channel (axis 0) in place of scale, or NULL */
        size_t n_scales;
};

/* Do integers mean the same? Of activations: one scale for all. */
bool quantisation_equal(const struct quantisation *a, const struct quantisation *b);

/* saturate(round_half_even(real / scale) + zero_point) in uint8; NaN gives 0. */
uint8_t quantisation_apply(const struct quantisation *quantisation, float real);

struct value {
        const char *name;
        struct tensor *constant; /* a reference, or NULL where it is computed */
        bool known;              /* shape and dtype are known; always so for a constant */
        enum dtype dtype;
        struct shape shape;

        /* Set by the pass of quantised.h alone; in the pool of the graph, or of the origin of a clone. NULL:
         * the value means what it holds. */
        const struct quantisation *quantisation;

        /* Set by keep_bf16.h: steps keep this value, of float32 in the graph, in bfloat16. */
        bool bf16;
};

enum attribute_type {
        ATTRIBUTE_INT,
        ATTRIBUTE_FLOAT,
        ATTRIBUTE_STRING,
        ATTRIBUTE_INTS,
        ATTRIBUTE_FLOATS,
        ATTRIBUTE_TENSOR,
        ATTRIBUTE_OTHER, /* graphs, sparse tensors, ...: an operator that needs one is not supported */
};

struct attribute {
        const char *name;
        enum attribute_type type;
        int64_t integer;
        float real;
        const char *string;
        const int64_t *ints;
        const float *floats;
        size_t n; /* of ints or floats */
        struct tensor *tensor;
};

enum post_op_kind {
        POST_OP_ELTWISE,
        POST_OP_SUM, /* adds the value operand, of the same shape */
};

struct post_op {
        enum post_op_kind kind;
        struct eltwise eltwise;
        uint32_t operand;
};

#define NODE_MAX_POST_OPS 4u

enum prologue_kind {
        PROLOGUE_NONE,
        PROLOGUE_GATE,        /* x * gate, input 3: [N, C, 1, 1] */
        PROLOGUE_SCALE_SHIFT, /* min(max(x * scale + shift, low), high), inputs 3 and 4: constants [C] */
};

/* What a Conv does with input 0 as it reads it. */
struct prologue {
        enum prologue_kind kind;
        float low, high;
};

struct node {
        const char *name, *type, *domain;
        int opset; /* version of its domain */
        const struct operator* op;
        const struct attribute *attributes;
        size_t n_attributes;
        uint32_t *inputs;
        size_t n_inputs;
        uint32_t *outputs;
        size_t n_outputs;

        /* What fusion added: executed on the first output, in this order. */
        struct post_op post_ops[NODE_MAX_POST_OPS];
        size_t n_post_ops;
        struct prologue prologue;
        const struct node *parts; /* "ConvPair": the two that it does, in the pool */
        const char *fused;        /* "+Clip", for tables; or NULL */
        int64_t fused_pads[4];    /* top, left, bottom, right, to be added to the operator's own */
        bool channels_last;       /* Conv: input and output are better [N, H, W, C] in memory */
        bool pads_count;          /* AveragePool: the fused padding counts as elements */

        /* Attention: where its matrices lie. */
        const struct attention *attention;
};

struct kept_tensor; /* a tensor that an attribute refers to */

/* An output as the file declares it. */
struct graph_output {
        uint32_t value;
        bool is_float;    /* float32 */
        int64_t last_dim; /* -1: open, or not said */
};

struct graph {
        struct pool *pool;
        struct kept_tensor *kept;
        struct value *values;
        size_t n_values, n_values_allocated;
        struct node *nodes; /* in an order in which each input is there before its use */
        size_t n_nodes;
        uint32_t input, output;             /* the one that is computed; the reader takes the first */
        const struct graph_output *outputs; /* all that the file has; of use as read, before any change */
        size_t n_outputs;
        uint32_t *watched; /* values that somebody wants to see beside the output, see watch.h */
        size_t n_watched;
        int64_t input_dims[TENSOR_MAX_RANK]; /* as declared; -1: open */
        size_t input_rank;
        bool input_is_transposed;  /* declared as [N, H, W, C], while the value is [N, C, H, W] */
        int opset;                 /* of the default domain */
        size_t constant_bytes;     /* of the tensors that it was read with */
        size_t derived_bytes_left; /* see graph_charge() */
        size_t work_bytes_left;    /* see graph_charge_work() */

        /* Of a network that may be no classifier, see engine/network.h: in place of input and output, which
         * are VALUE_NONE there. The dtype of an input is known from the start, its shape is not. */
        uint32_t *network_inputs, *network_outputs;
        size_t n_network_inputs, n_network_outputs;
};

int graph_new(struct graph **ret_graph, struct error *error);
void graph_free(struct graph *graph);
DEFINE_CLEANUP(graph)

/* A graph to be changed without changing origin. Constants are shared. */
int graph_clone(struct graph **ret_graph, const struct graph *origin, struct error *error);

/* name is copied. Fails with ERROR_NO_MEMORY. */
int graph_add_value(struct graph *graph, uint32_t *ret_value, const char *name, struct error *error);

/* Takes over the caller's reference, until graph_free(): for tensors of attributes. Fails with
 * ERROR_NO_MEMORY. */
int graph_keep_tensor(struct graph *graph, struct tensor *tensor, struct error *error);

/* Called before constant bytes are made from others, so that no small file makes a large model: what a graph
 * may make is in proportion to the constants that it was read with. A clone has what its origin has left.
 * Fails with ERROR_LIMIT. */
#define GRAPH_DERIVED_FACTOR 8u /* int8 to float32, and once more to fold a scale in */
#define GRAPH_DERIVED_BASE_BYTES                                                                            \
        ((size_t)64 << 20) /* for constants that a file describes in a few bytes                            \
                            */
int graph_charge(struct graph *graph, enum dtype dtype, const struct shape *shape, struct error *error);

/* Called before node is folded, so that no small file makes the engine walk over constants again and again:
 * what it reads and writes together is GRAPH_WORK_FACTOR times what it may make, half a second at worst.
 * Shapes of the outputs are known. Fails with ERROR_LIMIT. */
#define GRAPH_WORK_FACTOR 2u
int graph_charge_work(struct graph *graph, const struct node *node, struct error *error);

/* Takes a reference of its own; shape and dtype follow. */
void graph_set_constant(struct graph *graph, uint32_t value, struct tensor *tensor);

/* Value of an input or output of node; VALUE_NONE where there is none. */
uint32_t node_input(const struct node *node, size_t index);
uint32_t node_output(const struct node *node, size_t index);

/* The constant behind an input, or NULL. */
const struct tensor *graph_input_constant(const struct graph *graph, const struct node *node, size_t index);

/* The struct value of an input that the operator needs. Fails with ERROR_INVALID where it is left out. */
int graph_need_input(const struct graph *graph, const struct node *node, size_t index,
                     const struct value **ret_value, struct error *error);

/* NULL where the attribute is absent. */
const struct attribute *node_attribute(const struct node *node, const char *name);

/* The attribute's value, or otherwise where it is absent or of another type. */
int64_t node_attribute_integer(const struct node *node, const char *name, int64_t otherwise);
float node_attribute_real(const struct node *node, const char *name, float otherwise);
const char *node_attribute_string(const struct node *node, const char *name, const char *otherwise);

/* Sets what is known of the first output. */
void graph_set_output(struct graph *graph, const struct node *node, enum dtype dtype,
                      const struct shape *shape);

/* The same of another output. */
void graph_set_output_at(struct graph *graph, const struct node *node, size_t output, enum dtype dtype,
                         const struct shape *shape);

/* Values that another one replaces, for a pass that visits nodes in order: a replacement is known before its
 * first use. */
struct aliases {
        uint32_t *of; /* for each value that there was when the pass began */
        size_t n;
};

int aliases_init(struct aliases *aliases, const struct graph *graph, struct error *error);
void aliases_release(struct aliases *aliases);
void aliases_set(struct aliases *aliases, uint32_t value, uint32_t by);
uint32_t aliases_resolve(const struct aliases *aliases, uint32_t value);
void aliases_apply(const struct aliases *aliases, struct node *node); /* to inputs and operands */
void aliases_apply_to_outputs(const struct aliases *aliases, struct graph *graph);

/* How often each value is used: as an input, as the operand of a post-op, as an output, as a watched value.
 * n_values elements, to be freed with free(); NULL where memory is out. */
uint32_t *graph_count_uses(const struct graph *graph);

/* The node that makes each value, or VALUE_NONE; n_values elements, to be freed with free(). */
uint32_t *graph_find_producers(const struct graph *graph);

/* Removes nodes whose outputs nobody uses, and those marked by node_kill(). */
int graph_sweep(struct graph *graph, struct error *error);
void node_kill(struct node *node);
bool node_is_dead(const struct node *node);

/* Is there a node, alive, of this operator? */
bool node_is(const struct node *node, const char *type);
