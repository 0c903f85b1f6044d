#include "engine/image/kernels.h"

#include "engine/image/kernels_avx2.h"

#define HALF (1 << (WEIGHTS_FRACTION_BITS - 1))

static unsigned char to_pixel(int32_t sum) {
        int32_t value = sum >> WEIGHTS_FRACTION_BITS;

        return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void horizontal(unsigned char *const out[KERNELS_ROWS], const unsigned char *const in[KERNELS_ROWS],
                       const struct weights *weights) {
        for (size_t r = 0; r < KERNELS_ROWS; r++)
                for (size_t i = 0; i < weights->n; i++) {
                        const unsigned char *pixel = in[r] + 3 * (size_t)weights->first[i];
                        const int32_t *weight = weights->fixed + i * weights->taps;
                        int32_t red = HALF, green = HALF, blue = HALF;

                        for (size_t t = 0; t < weights->n_taps[i]; t++) {
                                red += pixel[3 * t] * weight[t];
                                green += pixel[3 * t + 1] * weight[t];
                                blue += pixel[3 * t + 2] * weight[t];
                        }
                        out[r][3 * i] = to_pixel(red);
                        out[r][3 * i + 1] = to_pixel(green);
                        out[r][3 * i + 2] = to_pixel(blue);
                }
}

/* Sums of a block of columns in a local array: compilers keep it in vector registers. */
#define BLOCK 16u

static void vertical(unsigned char *out, const unsigned char *const *rows, size_t n_bytes,
                     const struct weights *weights, size_t index) {
        const int32_t *weight = weights->fixed + index * weights->taps;
        size_t n_taps = weights->n_taps[index];

        for (size_t x = 0; x < n_bytes; x += BLOCK) {
                size_t n = n_bytes - x < BLOCK ? n_bytes - x : BLOCK;
                int32_t sum[BLOCK];

                for (size_t i = 0; i < BLOCK; i++)
                        sum[i] = HALF;
                for (size_t t = 0; t < n_taps; t++)
                        for (size_t i = 0; i < n; i++)
                                sum[i] += rows[t][x + i] * weight[t];
                for (size_t i = 0; i < n; i++)
                        out[x + i] = to_pixel(sum[i]);
        }
}

const struct kernels kernels_portable = {
        .name = "portable",
        .horizontal = horizontal,
        .vertical = vertical,
};

const struct kernels *kernels_best(void) {
        const struct kernels *avx2 = kernels_avx2();

        return avx2 ? avx2 : &kernels_portable;
}
