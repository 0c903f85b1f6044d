#include <inttypes.h>
#include <string.h>

#include "engine/ops/families.h"

int window_list_read(int64_t *values, size_t n, const struct node *node, const char *name, int64_t least,
                     int64_t otherwise, struct error *error) {
        const struct attribute *attribute = node_attribute(node, name);

        for (size_t i = 0; i < n; i++)
                values[i] = otherwise;
        if (!attribute)
                return 0;
        if (attribute->type != ATTRIBUTE_INTS || attribute->n != n)
                return error_set(error, ERROR_UNSUPPORTED, "%s needs %zu values", name, n);
        for (size_t i = 0; i < n; i++) {
                if (attribute->ints[i] < least || attribute->ints[i] > WINDOW_MAX)
                        return error_set(error, ERROR_INVALID,
                                         "%s has %" PRId64 "; %" PRId64 " to %d are possible", name,
                                         attribute->ints[i], least, WINDOW_MAX);
                values[i] = attribute->ints[i];
        }
        return 0;
}

int window_read(struct kernel_window *ret_window, size_t ret_output[2], const struct node *node,
                const size_t kernel[2], const size_t input[2], bool ceil_mode, struct error *error) {
        const char *auto_pad = node_attribute_string(node, "auto_pad", "NOTSET");
        bool upper = strcmp(auto_pad, "SAME_UPPER") == 0, lower = strcmp(auto_pad, "SAME_LOWER") == 0;
        int64_t pads[4], strides[2], dilations[2];
        struct kernel_window window = {0};
        size_t output[2];
        int r;

        r = window_list_read(strides, 2, node, "strides", 1, 1, error);
        if (r >= 0)
                r = window_list_read(dilations, 2, node, "dilations", 1, 1, error);
        if (r >= 0)
                r = window_list_read(pads, 4, node, "pads", 0, 0, error);
        if (r < 0)
                return r;
        if (strcmp(auto_pad, "VALID") == 0)
                memset(pads, 0, sizeof(pads));
        else if (!upper && !lower && strcmp(auto_pad, "NOTSET") != 0)
                return error_set(error, ERROR_INVALID, "auto_pad '%s'", auto_pad);

        for (size_t i = 0; i < 2; i++) {
                int64_t extent, size = (int64_t)input[i], room;

                if (kernel[i] < 1 || kernel[i] > WINDOW_MAX)
                        return error_set(error, ERROR_INVALID, "kernel %zux%zu", kernel[0], kernel[1]);
                if (kernel[i] == 1)
                        dilations[i] = 1; /* nothing to spread; oneDNN wants room for it all the same */
                extent = ((int64_t)kernel[i] - 1) * dilations[i] + 1;
                if (upper || lower) {
                        /* ONNX: as many outputs as ceil(input / stride), the odd pixel of padding after or
                         * before. */
                        int64_t n = (size + strides[i] - 1) / strides[i];
                        int64_t total = MAX((n - 1) * strides[i] + extent - size, 0);

                        pads[i] = lower ? total - total / 2 : total / 2;
                        pads[i + 2] = total - pads[i];
                }
                pads[i] += node->fused_pads[i];
                pads[i + 2] += node->fused_pads[i + 2];

                room = size + pads[i] + pads[i + 2] - extent;
                if (room < 0)
                        return error_set(error, ERROR_INVALID,
                                         "kernel %zux%zu exceeds padded input %" PRId64 "x%" PRId64,
                                         kernel[0], kernel[1], (int64_t)input[0] + pads[0] + pads[2],
                                         (int64_t)input[1] + pads[1] + pads[3]);
                output[i] = (size_t)(room / strides[i]) + 1;
                /* A last window that holds a rest, unless it would begin in the padding behind the input. */
                if (ceil_mode && room % strides[i] != 0 && (int64_t)output[i] * strides[i] < size + pads[i])
                        output[i]++;

                window.kernel[i] = kernel[i];
                window.strides[i] = (size_t)strides[i];
                window.dilations[i] = (size_t)dilations[i];
                window.pads_begin[i] = pads[i];
                /* What the last window really reaches, less or more than the padding that was asked for. */
                window.pads_end[i] = ((int64_t)output[i] - 1) * strides[i] + extent - size - pads[i];
        }
        *ret_window = window;
        memcpy(ret_output, output, sizeof(output));
        return 0;
}
