#pragma once
/* orient: a stored picture put the way it is to be shown, row by row. No state, no allocation. */
#include <stdbool.h>
#include <stddef.h>

#include "engine/image/exif.h"

static inline bool orientation_transposes(enum exif_orientation orientation) {
        return orientation >= EXIF_LEFT_TOP;
}

/* Whether shown column 0 (row 0) is the last one of the stored axis that it comes from. */
static inline bool orientation_reverses_x(enum exif_orientation orientation) {
        return orientation == EXIF_TOP_RIGHT || orientation == EXIF_BOTTOM_RIGHT ||
               orientation == EXIF_RIGHT_TOP || orientation == EXIF_RIGHT_BOTTOM;
}

static inline bool orientation_reverses_y(enum exif_orientation orientation) {
        return orientation == EXIF_BOTTOM_RIGHT || orientation == EXIF_BOTTOM_LEFT ||
               orientation == EXIF_RIGHT_BOTTOM || orientation == EXIF_LEFT_BOTTOM;
}

/*
 * Puts stored row index where it belongs. picture: [height, width, 3] as stored, and [height, width, 3] or
 * [width, height, 3] as shown; row: [width, 3].
 */
void orient_row(unsigned char *picture, const unsigned char *row, size_t index, size_t width, size_t height,
                enum exif_orientation orientation);
