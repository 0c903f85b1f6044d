#pragma once
/*
 * operator: what the engine knows of each ONNX operator.
 *
 * The table in operator.c says what exists; a file of engine/ops/ a family says how. Nothing else in the
 * engine names an operator, but for the patterns of simplify.c and fuse.c.
 *
 * Errors of these functions do not name the node: the caller prefixes it.
 */
#include "base/error.h"
#include "engine/graph.h"

struct lowering;

struct operator{
        const char *type;
        int since, until;  /* versions of the operator set, both included */
        size_t inputs_max; /* OPERATOR_VARIADIC: any number */

        /* Shape and type of the outputs from those of the inputs, all of which are known; checks all
         * attributes. */
        int (*infer)(struct graph * graph, const struct node *node, struct error *error);

        /* The outputs where all inputs are constant, of which the first is enough: ret_tensor has a place
         * for each. NULL: never folded. infer has been called before. */
        int (*fold)(struct tensor * *ret_tensor, const struct graph *graph, const struct node *node,
                    struct error *error);

        /* Emits steps; NULL: only ever folded away. */
        int (*lower)(struct lowering * lowering, const struct node *node, struct error *error);
};

#define OPERATOR_VARIADIC SIZE_MAX

#define OPERATOR_NEWEST                                                                                     \
        99 /* "until" of what has not changed so far; above any version that reading lets through */

/* NULL: not supported. */
const struct operator* operator_find(const char *domain, const char *type, int opset);

/* Operators that simplification makes and that no file can name. */
const struct operator* operator_find_internal(const char *type);

/* The rows of the table, for what tells of them. */
size_t operator_count(void);
const struct operator* operator_at(size_t index);
