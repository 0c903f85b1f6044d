/* epilogue: what follows on results, once they are in the destination and still in the first cache. Included
 * by conv_avx2.c and conv_avx512.c. */

#include "engine/native/activate.inc.h"

INLINE void activate_rows_as(enum native_activation activation, const struct native_epilogue *e, float *rows,
                             size_t pixel, size_t n_rows, size_t channels) {
        size_t whole = channels / LANES * LANES;
        vmask mask = v_mask(channels - whole);

        for (size_t r = 0; r < n_rows; r++, rows += pixel) {
                for (size_t c = 0; c < whole; c += LANES)
                        v_store(rows + c, activate(activation, v_load(rows + c), e->alpha, e->beta));
                if (whole < channels)
                        v_store_part(
                                rows + whole, mask,
                                activate(activation, v_load_part(rows + whole, mask), e->alpha, e->beta));
        }
}

/* n_rows pixels of channels each; clipping is done before the results are stored. */
static void activate_rows(const struct native_epilogue *e, float *rows, size_t pixel, size_t n_rows,
                          size_t channels) {
        switch (e->activation) {
        case NATIVE_CLIP:
                break;
        case NATIVE_LEAKY:
                activate_rows_as(NATIVE_LEAKY, e, rows, pixel, n_rows, channels);
                break;
        case NATIVE_SIGMOID:
                activate_rows_as(NATIVE_SIGMOID, e, rows, pixel, n_rows, channels);
                break;
        case NATIVE_SWISH:
                activate_rows_as(NATIVE_SWISH, e, rows, pixel, n_rows, channels);
                break;
        case NATIVE_HARDSWISH:
                activate_rows_as(NATIVE_HARDSWISH, e, rows, pixel, n_rows, channels);
                break;
        case NATIVE_HARDSIGMOID:
                activate_rows_as(NATIVE_HARDSIGMOID, e, rows, pixel, n_rows, channels);
                break;
        }
}

/* Where the i'th of n_pieces even pieces of n begins. */
INLINE size_t piece(size_t n, size_t i, size_t n_pieces) {
        return n * i / n_pieces;
}
