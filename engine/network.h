#pragma once
/*
 * network: any ONNX network with its inputs and outputs, for tools and tests; classifiers are models
 * (engine/model.h).
 *
 * The order of calls: network_read(), network_set_shape() or network_set_constant() for each input,
 * network_prepare(), network_run() as often as wanted. Inputs of other types than float32 must be constants:
 * integers are shapes here. One thread at a time.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/tensor.h"

struct network;

/* Fails as onnx_read(). */
int network_read(struct network **ret_network, const void *bytes, size_t size, struct error *error);
void network_free(struct network *network);
DEFINE_CLEANUP(network)

size_t network_n_inputs(const struct network *network);
const char *network_input_name(const struct network *network, size_t input);
enum dtype network_input_dtype(const struct network *network, size_t input);

void network_set_shape(struct network *network, size_t input, const struct shape *shape);

/* Takes a reference of its own. Fails with ERROR_INVALID where the type is not the input's. */
int network_set_constant(struct network *network, size_t input, struct tensor *tensor, struct error *error);

/* Simplifies and plans. Fails as plan_new(), and with ERROR_INVALID where an input was not set. */
int network_prepare(struct network *network, struct error *error);

/* inputs: one for each input, row-major; those of constants may be NULL. */
int network_run(struct network *network, const float *const *inputs, struct error *error);

size_t network_n_outputs(const struct network *network);

/* An output, which belongs to the network and holds until the next run: float32, or what folding made. */
struct network_output {
        enum dtype dtype;
        struct shape shape;
        const void *data;
};
struct network_output network_output(const struct network *network, size_t output);

/* The type of the first node, and how many there are in the file. */
const char *network_operator(const struct network *network);
size_t network_n_nodes(const struct network *network);
