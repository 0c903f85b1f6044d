#pragma once
/* model_internal: what plans need of a model. */
#include "engine/graph.h"
#include "engine/model.h"
#include "engine/weights.h"

const struct graph *model_graph(const struct model *model); /* simplified */
struct weights *model_weights(struct model *model);

/* Does the network end in a Softmax? */
bool model_gives_probabilities(const struct model *model);
