/*
 * Bytes -> tensor. The first OPTIONS_BYTES bytes choose the pre-processing, the rest is the file; so a JPEG
 * from elsewhere needs as many bytes put before it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/image/image.h"

#define OPTIONS_BYTES 6u
#define MAX_PIXELS    ((size_t)1 << 20) /* a larger picture only makes a slower run */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static size_t side_of(uint8_t byte) {
        return byte < 200 ? byte : (size_t)(byte - 199) * 16;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(image_decoder_freep) struct image_decoder *decoder = NULL;
        _cleanup_(freep) unsigned char *pixels = NULL;
        struct image_options options = {.max_pixels = MAX_PIXELS};
        struct preprocess preprocess = PREPROCESS_IMAGENET;
        struct image_info info;
        struct error error;
        int r;

        if (size < OPTIONS_BYTES)
                return 0;
        options.exact = bytes[0] & 1;
        preprocess.filter = bytes[0] & 2 ? IMAGE_FILTER_BICUBIC : IMAGE_FILTER_BILINEAR;
        preprocess.resize_shorter = side_of(bytes[1]);
        preprocess.resize_width = side_of(bytes[2]);
        preprocess.resize_height = side_of(bytes[3]);
        preprocess.crop_width = side_of(bytes[4]);
        preprocess.crop_height = side_of(bytes[5]);

        pixels = malloc(preprocess.crop_width * preprocess.crop_height * 3 + 1);
        if (!pixels || image_decoder_new(&decoder, &error) < 0)
                abort();
        r = image_decode(decoder, pixels, &preprocess, &options, bytes + OPTIONS_BYTES, size - OPTIONS_BYTES,
                         &info, &error);
        if (r == ERROR_INTERNAL || (r < 0 && (error.code != r || error.text[0] == 0)))
                abort();
        if (r == 0 && (info.width == 0 || info.height == 0 || info.width * info.height > MAX_PIXELS))
                abort();

        /* Once more with the memory of the first time: same bytes, same answer. */
        if (image_decode(decoder, pixels, &preprocess, &options, bytes + OPTIONS_BYTES, size - OPTIONS_BYTES,
                         &info, NULL) != r)
                abort();
        return 0;
}
