#pragma once
/*
 * mutator: changes the graph in an ONNX file and not its bytes: nodes of every type the engine has, edges,
 * attributes, shapes, types, data. The operators come from the engine's own table.
 *
 * Deterministic: the same bytes and seed give the same file.
 */
#include <stddef.h>
#include <stdint.h>

/* Changes the model of size bytes in place; the result has at most max_size. Returns its size, 0 where the
 * bytes are no model or the result would be too large (the bytes are unchanged then). */
size_t mutator_change(uint8_t *bytes, size_t size, size_t max_size, unsigned seed);

/* Writes a model of a's nodes and initializers with some of b's among them to ret_bytes. Returns as above.
 */
size_t mutator_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *ret_bytes,
                     size_t max_size, unsigned seed);
