#pragma once
/* sensitivity: which layers cost most, and which of them must stay float32. */
#include "quantize/session.h"

/*
 * Measures each layer's own error, that of the network's output with it alone in eight bits. While more than
 * the budget is lost, the layer is kept whose error is largest for the time that keeping it takes, and all
 * is measured again; then those are given back without which the budget is met as well. kept: one a node,
 * all false. Fills result's layers, agreement, n_kept and met.
 */
int sensitivity_search(struct session *session, struct quantize_result *result, bool *kept,
                       struct error *error);
