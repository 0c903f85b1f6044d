/* native/dot on bfloat16 for AVX-512 with BF16, with whose flags this is compiled. */
#define LANES    16
#define DOT_TYPE 1

#include "engine/native/dot_tile.inc.h"

void dot_panels_bf16(const struct dot_conv *conv, const struct dot_shape *s, const struct dot_data *data,
                     const struct dot_band *band, size_t first, size_t last) {
        panels(conv, s, data, band, first, last);
}
