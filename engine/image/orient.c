#include "engine/image/orient.h"

#include <string.h>

void orient_row(unsigned char *picture, const unsigned char *row, size_t index, size_t width, size_t height,
                enum exif_orientation orientation) {
        bool transposes = orientation_transposes(orientation);
        size_t shown_width = transposes ? height : width, shown_height = transposes ? width : height;
        size_t x = transposes ? index : 0, y = transposes ? 0 : index;
        ptrdiff_t step;
        unsigned char *pixel;

        if (orientation_reverses_x(orientation))
                x = shown_width - 1 - x;
        if (orientation_reverses_y(orientation))
                y = shown_height - 1 - y;
        pixel = picture + 3 * (y * shown_width + x);

        if (transposes)
                step = (ptrdiff_t)(3 * shown_width) * (orientation_reverses_y(orientation) ? -1 : 1);
        else
                step = orientation_reverses_x(orientation) ? -3 : 3;
        if (step == 3) {
                memcpy(pixel, row, 3 * width);
                return;
        }
        for (size_t i = 0; i < width; i++)
                memcpy(pixel + (ptrdiff_t)i * step, row + 3 * i, 3);
}
