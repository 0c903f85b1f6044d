#pragma once
/*
 * input_step: the first step of every plan, which brings pixels or a tensor into the first layer's layout.
 *
 * Pixels are normalised by a table of 256 values a channel: (pixel * rescale_factor - mean) / std, computed
 * in double precision and rounded once.
 */
#include "base/error.h"
#include "engine/image/preprocess.h"
#include "engine/kernel.h"

/* layout: [N, C, H, W], row-major or channels last. Arguments of the kernel: struct run_input, dst. */
int input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                     const struct preprocess *preprocess, const struct layout *layout, bool channels_last,
                     struct error *error);

/* The same for input number index of a network, row-major. */
int network_input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                             const struct layout *layout, size_t index, struct error *error);
