#pragma once
/*
 * kernels: the two passes of a separable resize on uint8 RGB; every set gives the same bits.
 *
 * Both passes round to uint8: (sum of pixel * weight + 0.5) in fixed point, clipped to 0..255. No state.
 */
#include <stddef.h>

#include "engine/image/weights.h"

#define KERNELS_ROWS 4u /* rows that one call of the horizontal pass takes */

/* What the horizontal pass may read and write past the end of a row, in bytes: a group of taps, one vector.
 */
#define KERNELS_PADDING_BYTES 16u

struct kernels {
        const char *name;

        /* Four rows: out[r]: [weights->n, 3], in[r]: [inputs, 3]. Rows may be the same row. Reads
         * 3 * taps + KERNELS_PADDING_BYTES bytes past the last input and writes KERNELS_PADDING_BYTES past
         * the last output. */
        void (*horizontal)(unsigned char *const out[KERNELS_ROWS],
                           const unsigned char *const in[KERNELS_ROWS], const struct weights *weights);

        /* Output index of weights over rows of n_bytes each; rows: [weights->taps], those past n_taps must
         * be readable and do not count. Nothing past n_bytes is read or written. */
        void (*vertical)(unsigned char *out, const unsigned char *const *rows, size_t n_bytes,
                         const struct weights *weights, size_t index);
};

extern const struct kernels kernels_portable;

/* The fastest set that this CPU runs. */
const struct kernels *kernels_best(void);
