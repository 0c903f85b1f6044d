#pragma once
/*
 * input_step: the first step of every plan, which brings pixels or a tensor into the first layer's layout.
 *
 * Pixels are normalised by a table of 256 values a channel: (pixel * rescale_factor - mean) / std, computed
 * in double precision and rounded once.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "engine/graph.h"
#include "engine/image/preprocess.h"
#include "engine/kernel.h"

/* Interleaved: the channels of a pixel lie together, as in [N, H, W, C]; otherwise planes, as in [N, C, H,
 * W]. Pixels always come interleaved. */
struct input_form {
        size_t images, channels, pixels; /* pixels: of one image */
        bool tensor_interleaved, target_interleaved;
        bool to_bf16; /* the target is bfloat16, and interleaved */
};

/* layout: of the destination. Arguments of the kernel: struct run_input, dst. */
int input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                     const struct preprocess *preprocess, const struct layout *layout,
                     const struct input_form *form, struct error *error);

/* The same, quantised to uint8 channels-last: saturate(round_half_even(x / scale) + zero_point). */
int quantised_input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                               const struct preprocess *preprocess, const struct layout *layout,
                               const struct input_form *form, const struct quantisation *quantisation,
                               struct error *error);

/* The same for input number index of a network, row-major. */
int network_input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                             const struct layout *layout, size_t index, struct error *error);
