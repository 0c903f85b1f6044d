#pragma once
/* model_internal: what plans need of a model. */
#include "engine/graph.h"
#include "engine/model.h"
#include "engine/weights.h"

const struct graph *model_graph(const struct model *model); /* simplified */
struct weights *model_weights(struct model *model);

/* The shape of the graph's input; height and width 0: those of the pre-processing. Fails with
 * ERROR_UNSUPPORTED where the file fixes another one. */
int model_input_shape(struct shape *ret_shape, const struct model *model, size_t batch, size_t height,
                      size_t width, struct error *error);
