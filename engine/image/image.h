#pragma once
/*
 * image: bytes of an image file -> uint8 tensor [H, W, 3] in RGB, resized and cropped as a struct preprocess
 * says.
 *
 * Bytes are hostile. Nothing is allocated in proportion to what a header claims before the pixel limit has
 * been checked, and a decoder keeps no more than some megabytes between images. A struct image_decoder keeps
 * buffers between images: one a thread, never shared.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/image/preprocess.h"

#define IMAGE_MAX_PIXELS_DEFAULT (64u << 20) /* some 2 s of full decoding on one core */

enum image_format {
        IMAGE_FORMAT_UNKNOWN,
        IMAGE_FORMAT_JPEG,
};

struct image_info {
        enum image_format format;
        size_t width, height; /* pixels as shown, that is after EXIF orientation */
        unsigned scale;       /* denominator of the DCT scaling that was used: 1, 2, 4 or 8 */
};

struct image_options {
        size_t max_pixels; /* width * height in the file; 0: IMAGE_MAX_PIXELS_DEFAULT */
        bool exact;        /* never scale in the DCT, so that the result equals Pillow's on the full image */
};

struct image_decoder;

int image_decoder_new(struct image_decoder **ret_decoder, struct error *error);
void image_decoder_free(struct image_decoder *decoder);
DEFINE_CLEANUP(image_decoder)

/* The most memory that a decoder takes for images of up to max_pixels: a progressive file's coefficients
 * (see jpeg.h), a picture that has to be turned, and its rows. */
size_t image_decoder_most_bytes(size_t max_pixels);

/* The format by the first bytes, whatever a client called it. */
enum image_format image_format_of(const void *bytes, size_t size);

/*
 * pixels: uint8 [crop_height, crop_width, 3] of the preprocess (its crop must not be 0); of no use on
 * failure. ret_info may be NULL. A truncated or corrupt file is an error, never a picture with grey parts.
 * Fails with ERROR_UNSUPPORTED  not a format that is decoded here (the text lists those that are), or a kind
 * of JPEG that is not (12 bits, arithmetic coding, lossless) ERROR_INVALID      empty, truncated or corrupt;
 * a preprocess that contradicts itself ERROR_LIMIT        more than max_pixels (the text gives both
 * figures), more than 65500 pixels on a side, or a progressive file that takes too much memory or too many
 * scans (see jpeg.h) ERROR_NO_MEMORY
 */
int image_decode(struct image_decoder *decoder, unsigned char *pixels, const struct preprocess *preprocess,
                 const struct image_options *options, const void *bytes, size_t size,
                 struct image_info *ret_info, struct error *error);
