/* native/dot on uint8 and int8 for AVX-512 with VNNI, with whose flags this is compiled. */
#define LANES    16
#define DOT_TYPE 0

#include "engine/native/dot_tile.inc.h"

void dot_panels_vnni(const struct dot_conv *conv, const struct dot_shape *s, const struct dot_data *data,
                     const struct dot_band *band, size_t first, size_t last) {
        panels(conv, s, data, band, first, last);
}
