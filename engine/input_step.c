#include "engine/input_step.h"

#include <string.h>

#include "engine/native/bfloat.h"
#include "engine/native/bytes.h"
#include "engine/plan_internal.h"

#define PIXEL_CHANNELS 3u

struct input_params {
        struct input_form form;
        float table[PIXEL_CHANNELS][256];
        uint16_t bf16_table[PIXEL_CHANNELS][256];
};

static void planes_from_pixels(const struct input_params *p, float *dst, const unsigned char *src) {
        const float *red = p->table[0], *green = p->table[1], *blue = p->table[2];
        size_t n = p->form.pixels;

        for (size_t image = 0; image < p->form.images; image++, src += 3 * n, dst += 3 * n)
                for (size_t i = 0; i < n; i++) {
                        dst[i] = red[src[3 * i]];
                        dst[i + n] = green[src[3 * i + 1]];
                        dst[i + 2 * n] = blue[src[3 * i + 2]];
                }
}

static void interleaved_from_pixels(const struct input_params *p, float *dst, const unsigned char *src) {
        for (size_t i = 0; i < p->form.images * p->form.pixels; i++)
                for (size_t c = 0; c < PIXEL_CHANNELS; c++)
                        dst[3 * i + c] = p->table[c][src[3 * i + c]];
}

/* Each image: [rows, columns] to [columns, rows]. */
static void transpose(float *dst, const float *src, size_t images, size_t rows, size_t columns) {
        for (size_t image = 0; image < images; image++, src += rows * columns)
                for (size_t i = 0; i < columns; i++)
                        for (size_t k = 0; k < rows; k++)
                                *dst++ = src[k * columns + i];
}

static void bf16_run(const struct input_params *p, uint16_t *dst, const struct run_input *input) {
        size_t channels = p->form.channels, pixels = p->form.pixels, n = p->form.images * pixels;

        if (input->pixels) {
                for (size_t i = 0; i < n; i++)
                        for (size_t c = 0; c < PIXEL_CHANNELS; c++)
                                dst[3 * i + c] = p->bf16_table[c][input->pixels[3 * i + c]];
                return;
        }
        for (size_t i = 0; i < n; i++)
                for (size_t c = 0; c < channels; c++) {
                        size_t from = p->form.tensor_interleaved
                                              ? i * channels + c
                                              : (i / pixels * channels + c) * pixels + i % pixels;

                        *dst++ = bfloat_of(input->tensor[from]);
                }
}

static void input_run(const void *params, void *const *addresses) {
        const struct input_params *p = params;
        const struct input_form *form = &p->form;
        const struct run_input *input = addresses[0];
        float *dst = addresses[1];

        if (form->to_bf16)
                bf16_run(p, addresses[1], input);
        else if (input->pixels && form->target_interleaved)
                interleaved_from_pixels(p, dst, input->pixels);
        else if (input->pixels)
                planes_from_pixels(p, dst, input->pixels);
        else if (form->tensor_interleaved == form->target_interleaved)
                memcpy(dst, input->tensor, form->images * form->channels * form->pixels * sizeof(*dst));
        else if (form->target_interleaved)
                transpose(dst, input->tensor, form->images, form->channels, form->pixels);
        else
                transpose(dst, input->tensor, form->images, form->pixels, form->channels);
}

static float normalised(const struct preprocess *preprocess, size_t channel, size_t pixel) {
        return (float)(((double)pixel * (double)preprocess->rescale_factor -
                        (double)preprocess->mean[channel]) /
                       (double)preprocess->std[channel]);
}

int input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                     const struct preprocess *preprocess, const struct layout *layout,
                     const struct input_form *form, struct error *error) {
        struct input_params params = {.form = *form};

        for (size_t c = 0; c < PIXEL_CHANNELS; c++)
                for (size_t i = 0; i < 256; i++) {
                        params.table[c][i] = normalised(preprocess, c, i);
                        params.bf16_table[c][i] = bfloat_of(params.table[c][i]);
                }
        return kernel_native_new(ret_kernel, kernels, "native:input", input_run, &params, sizeof(params),
                                 (const struct layout *[]){layout, layout}, 2, error);
}

struct quantised_params {
        struct input_form form;
        struct quantisation quantisation;
        uint8_t tables[PIXEL_CHANNELS][256];
};

static void quantised_input_run(const void *params, void *const *addresses) {
        const struct quantised_params *p = params;
        const struct run_input *input = addresses[0];
        size_t channels = p->form.channels, pixels = p->form.pixels, n = p->form.images * pixels;
        uint8_t *dst = addresses[1];

        if (input->pixels) {
                bytes_pixels_run(
                        &(struct bytes_pixels){.pixels = n, .channels = PIXEL_CHANNELS, .threads = 1},
                        p->tables[0], input->pixels, dst);
                return;
        }
        for (size_t i = 0; i < n; i++)
                for (size_t c = 0; c < channels; c++) {
                        size_t from = p->form.tensor_interleaved
                                              ? i * channels + c
                                              : (i / pixels * channels + c) * pixels + i % pixels;

                        *dst++ = quantisation_apply(&p->quantisation, input->tensor[from]);
                }
}

int quantised_input_kernel_new(const struct kernel **ret_kernel, struct kernels *kernels,
                               const struct preprocess *preprocess, const struct layout *layout,
                               const struct input_form *form, const struct quantisation *quantisation,
                               struct error *error) {
        struct quantised_params params = {.form = *form, .quantisation = *quantisation};

        for (size_t c = 0; c < PIXEL_CHANNELS; c++)
                for (size_t i = 0; i < 256; i++)
                        params.tables[c][i] = quantisation_apply(quantisation, normalised(preprocess, c, i));
        return kernel_native_new(ret_kernel, kernels, "native:input", quantised_input_run, &params,
                                 sizeof(params), (const struct layout *[]){layout, layout}, 2, error);
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
