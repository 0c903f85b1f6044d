#pragma once
/*
 * mutation: what the mutations of an ONNX model share: the unpacked message, random choices, names.
 *
 * Everything lives in one pool, and nothing is freed before the message has been packed again: a mutation
 * may let two places point to the same sub-message. Out of memory ends the process; this is code of tests.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "onnx.pb-c.h"

struct mutation {
        struct pool *pool;
        uint64_t random; /* state of the generator, not 0 */
        Onnx__ModelProto *model;
        Onnx__GraphProto *graph; /* of the model */
};

void *mutation_allocate(struct mutation *mutation, size_t n, size_t size);
char *mutation_string(struct mutation *mutation, const char *text);

/* 0 <= x < below; 0 where below is 0. */
size_t mutation_below(struct mutation *mutation, size_t below);
bool mutation_one_in(struct mutation *mutation, size_t n);

/* Small mostly, else at an edge of some type or limit. */
int64_t mutation_integer(struct mutation *mutation);
float mutation_real(struct mutation *mutation);

/* A value's name: of an initializer, of the input, or of any node's output, later ones included; sometimes
 * one that nobody has. */
char *mutation_name(struct mutation *mutation);
char *mutation_fresh_name(struct mutation *mutation);

/* The array of n pointers with one more at index at. */
void *mutation_insert(struct mutation *mutation, void *pointers, size_t n, size_t at, void *pointer);
void mutation_remove(void *pointers, size_t *n, size_t at);

/* A new initializer; data is copied. Returns its name. */
char *mutation_add_tensor(struct mutation *mutation, int32_t type, const int64_t *dims, size_t n_dims,
                          const void *data, size_t bytes);

Onnx__AttributeProto *mutation_new_attribute(struct mutation *mutation, const char *name);

/* The mutations; each does nothing where the model has not what it needs. */
typedef void mutation_function(struct mutation *mutation);

mutation_function mutate_input, mutate_output, mutate_remove_node, mutate_repeat_node, mutate_insert_node,
        mutate_operator, mutate_swap_nodes, mutate_shape_arithmetic, mutate_chain, mutate_many_inputs;
mutation_function mutate_attribute, mutate_add_attribute, mutate_nesting;
mutation_function mutate_dims, mutate_type, mutate_data, mutate_external, mutate_initializers;
mutation_function mutate_model_input, mutate_model_output, mutate_opset, mutate_text;
