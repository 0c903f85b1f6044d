#include "engine/input_step.h"

#include <string.h>

#include "engine/plan_internal.h"

#define PIXEL_CHANNELS 3u

struct input_params {
        size_t images, channels, pixels; /* pixels: height * width */
        bool channels_last;
        float table[PIXEL_CHANNELS][256];
};

static void planes_from_pixels(const struct input_params *p, float *dst, const unsigned char *src) {
        const float *red = p->table[0], *green = p->table[1], *blue = p->table[2];

        for (size_t image = 0; image < p->images; image++, src += 3 * p->pixels, dst += 3 * p->pixels)
                for (size_t i = 0; i < p->pixels; i++) {
                        dst[i] = red[src[3 * i]];
                        dst[i + p->pixels] = green[src[3 * i + 1]];
                        dst[i + 2 * p->pixels] = blue[src[3 * i + 2]];
                }
}

static void interleaved_from_pixels(const struct input_params *p, float *dst, const unsigned char *src) {
        for (size_t i = 0; i < p->images * p->pixels; i++)
                for (size_t c = 0; c < PIXEL_CHANNELS; c++)
                        dst[3 * i + c] = p->table[c][src[3 * i + c]];
}

static void interleaved_from_planes(const struct input_params *p, float *dst, const float *src) {
        for (size_t image = 0; image < p->images; image++)
                for (size_t i = 0; i < p->pixels; i++)
                        for (size_t c = 0; c < p->channels; c++)
                                *dst++ = src[(image * p->channels + c) * p->pixels + i];
}

static void input_run(const void *params, void *const *addresses) {
        const struct input_params *p = params;
        const struct run_input *input = addresses[0];
        float *dst = addresses[1];

        if (input->pixels && p->channels_last)
                interleaved_from_pixels(p, dst, input->pixels);
        else if (input->pixels)
                planes_from_pixels(p, dst, input->pixels);
        else if (p->channels_last)
                interleaved_from_planes(p, dst, input->tensor);
        else
                memcpy(dst, input->tensor, p->images * p->channels * p->pixels * sizeof(*dst));
}

int input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                     const struct preprocess *preprocess, const struct layout *layout, bool channels_last,
                     struct error *error) {
        struct shape shape = layout_shape(layout);
        struct input_params params = {
                .images = shape.dims[0],
                .channels = shape.dims[1],
                .pixels = shape.dims[2] * shape.dims[3],
                .channels_last = channels_last,
        };

        for (size_t c = 0; c < PIXEL_CHANNELS; c++)
                for (size_t i = 0; i < 256; i++)
                        params.table[c][i] = (float)(((double)i * (double)preprocess->rescale_factor -
                                                      (double)preprocess->mean[c]) /
                                                     (double)preprocess->std[c]);
        return kernel_native_new(ret_kernel, kernels, "native:input", input_run, &params, sizeof(params),
                                 (const struct layout *[]){layout, layout}, 2, error);
}

struct network_input_params {
        size_t index, bytes;
};

static void network_input_run(const void *params, void *const *addresses) {
        const struct network_input_params *p = params;
        const struct run_input *input = addresses[0];

        memcpy(addresses[1], input->network[p->index], p->bytes);
}

int network_input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                             const struct layout *layout, size_t index, struct error *error) {
        struct network_input_params params = {.index = index, .bytes = layout_bytes(layout)};

        return kernel_native_new(ret_kernel, kernels, "native:input", network_input_run, &params,
                                 sizeof(params), (const struct layout *[]){layout, layout}, 2, error);
}
