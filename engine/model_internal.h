#pragma once
/* model_internal: what plans need of a model. */
#include "engine/graph.h"
#include "engine/model.h"
#include "engine/weights.h"

const struct graph *model_graph(const struct model *model); /* simplified */
struct weights *model_weights(struct model *model);

/* A graph to be planned: the one above, or for float32 where a model falls back on that. */
int model_clone_graph(struct graph **ret_graph, const struct model *model, bool fall_back,
                      struct error *error);

/* Was the precision left open, so that float32 is taken where that is faster? From model_fall_back() on it
 * is.
 */
bool model_may_fall_back(const struct model *model);
void model_fall_back(struct model *model);

/* The shape of the graph's input; height and width 0: those of the pre-processing. Fails with
 * ERROR_UNSUPPORTED where the file fixes another one. */
int model_input_shape(struct shape *ret_shape, const struct model *model, size_t batch, size_t height,
                      size_t width, struct error *error);
