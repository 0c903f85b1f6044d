#include "engine/image/image.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/image/jpeg.h"
#include "engine/image/orient.h"
#include "engine/image/resize.h"

/* What a decoder keeps of each buffer between images: enough for photographs of a few megapixels. */
#define DECODER_KEEP_BYTES ((size_t)4 << 20)

#define MAGIC_MAX_BYTES    12u

struct image_decoder {
        struct jpeg_reader *jpeg;
        struct resizer *resizer;
        struct buffer row;     /* one row as stored, of a picture that has to be turned */
        struct buffer picture; /* that picture as shown: [height, width, 3] */
};

int image_decoder_new(struct image_decoder **ret_decoder, struct error *error) {
        _cleanup_(image_decoder_freep) struct image_decoder *decoder = calloc(1, sizeof(*decoder));
        int r;

        if (!decoder)
                return error_no_memory(error);
        r = jpeg_reader_new(&decoder->jpeg, error);
        if (r < 0)
                return r;
        r = resizer_new(&decoder->resizer, NULL, error);
        if (r < 0)
                return r;
        *ret_decoder = steal_ptr(&decoder);
        return 0;
}

size_t image_decoder_most_bytes(size_t max_pixels) {
        size_t coefficients;

        /* At most four components of 2 bytes a pixel. */
        if (!size_multiply(&coefficients, max_pixels, 8))
                coefficients = JPEG_MAX_COEFFICIENT_BYTES;
        coefficients = MIN(coefficients, JPEG_MAX_COEFFICIENT_BYTES);
        return coefficients + MIN(max_pixels, SIZE_MAX / 8) * 3 + 3 * DECODER_KEEP_BYTES;
}

void image_decoder_free(struct image_decoder *decoder) {
        if (!decoder)
                return;
        jpeg_reader_free(decoder->jpeg);
        resizer_free(decoder->resizer);
        buffer_release(&decoder->row);
        buffer_release(&decoder->picture);
        free(decoder);
}

static void decoder_rest(struct image_decoder *decoder) {
        jpeg_reader_close(decoder->jpeg);
        resizer_trim(decoder->resizer, DECODER_KEEP_BYTES);
        buffer_trim(&decoder->row, DECODER_KEEP_BYTES);
        buffer_trim(&decoder->picture, DECODER_KEEP_BYTES);
}

/* Formats by their first bytes; '?' stands for any byte. The named ones that are not decoded make a clear
 * refusal. */
static const struct {
        const char *name;
        const char *magic;
        size_t n_magic;
        enum image_format format;
} magics[] = {
#define MAGIC(string) string, sizeof(string) - 1
        {"a JPEG", MAGIC("\xff\xd8\xff"), IMAGE_FORMAT_JPEG},
        {"a PNG", MAGIC("\x89PNG\r\n\x1a\n"), IMAGE_FORMAT_UNKNOWN},
        {"a WebP", MAGIC("RIFF????WEBP"), IMAGE_FORMAT_UNKNOWN},
        {"a GIF", MAGIC("GIF8"), IMAGE_FORMAT_UNKNOWN},
        {"an AVIF", MAGIC("????ftypavif"), IMAGE_FORMAT_UNKNOWN},
        {"an AVIF", MAGIC("????ftypavis"), IMAGE_FORMAT_UNKNOWN},
        {"a HEIF", MAGIC("????ftyphei"), IMAGE_FORMAT_UNKNOWN},
        {"a HEIF", MAGIC("????ftyphev"), IMAGE_FORMAT_UNKNOWN},
        {"a HEIF", MAGIC("????ftypmif1"), IMAGE_FORMAT_UNKNOWN},
        {"a HEIF", MAGIC("????ftypmsf1"), IMAGE_FORMAT_UNKNOWN},
        {"a TIFF", MAGIC("II*\0"), IMAGE_FORMAT_UNKNOWN},
        {"a TIFF", MAGIC("MM\0*"), IMAGE_FORMAT_UNKNOWN},
        {"a JPEG XL", MAGIC("\xff\x0a"), IMAGE_FORMAT_UNKNOWN},
        {"a JPEG XL", MAGIC("\0\0\0\x0cJXL "), IMAGE_FORMAT_UNKNOWN},
        {"a JPEG 2000", MAGIC("\0\0\0\x0cjP  "), IMAGE_FORMAT_UNKNOWN},
        {"a JPEG 2000", MAGIC("\xff\x4f\xff\x51"), IMAGE_FORMAT_UNKNOWN},
        {"a Photoshop", MAGIC("8BPS"), IMAGE_FORMAT_UNKNOWN},
        {"a BMP", MAGIC("BM????\0\0\0\0"), IMAGE_FORMAT_UNKNOWN},
        {"an ICO", MAGIC("\0\0\1\0"), IMAGE_FORMAT_UNKNOWN},
#undef MAGIC
};

static bool magic_matches(const char *magic, size_t n_magic, const unsigned char *bytes, size_t size) {
        if (size < n_magic)
                return false;
        for (size_t i = 0; i < n_magic; i++)
                if (magic[i] != '?' && (unsigned char)magic[i] != bytes[i])
                        return false;
        return true;
}

enum image_format image_format_of(const void *bytes, size_t size) {
        for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
                if (magic_matches(magics[i].magic, magics[i].n_magic, bytes, size))
                        return magics[i].format;
        return IMAGE_FORMAT_UNKNOWN;
}

/* Whether the first bytes could be text of any kind: a page, JSON, base64, an SVG. */
static bool looks_like_text(const unsigned char *bytes, size_t size) {
        for (size_t i = 0; i < MIN(size, MAGIC_MAX_BYTES); i++)
                if (bytes[i] < 0x20 ? !isspace(bytes[i]) : bytes[i] == 0x7f || bytes[i] > 0xf4)
                        return false;
        return true;
}

static int refuse_unknown(const unsigned char *bytes, size_t size, struct error *error) {
        if (size == 0)
                return error_set(error, ERROR_INVALID, "the image is empty (0 bytes); send a JPEG file");
        if (size < 3) /* what tells a JPEG */
                return error_set(error, ERROR_INVALID,
                                 "the image is truncated: %zu byte%s tell no format; send a whole JPEG file",
                                 size, size == 1 ? "" : "s");
        for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
                if (magic_matches(magics[i].magic, magics[i].n_magic, bytes, size))
                        return error_set(error, ERROR_UNSUPPORTED, "this is %s image; supported: JPEG",
                                         magics[i].name);
        if (looks_like_text(bytes, size))
                return error_set(error, ERROR_UNSUPPORTED,
                                 "this is text, not an image; send the bytes of the file; supported: JPEG");
        return error_set(error, ERROR_UNSUPPORTED,
                         "not a known image format (the bytes begin with %02x %02x %02x); supported: JPEG",
                         bytes[0], bytes[1], bytes[2]);
}

/* The resize of one picture: how large it is as shown, and what of it becomes the tensor. */
struct layout {
        struct preprocess_axis x, y;
        unsigned scale;
};

/*
 * The DCT decodes at 1/2, 1/4 or 1/8 for less than full size (other ratios have no SIMD and are slower than
 * full decoding). A box filter goes before the real one then, so the scaled picture must stay at least twice
 * as large as what it is resized to: the reducing_gap of 2.0 that Pillow's thumbnail() has by default.
 */
static unsigned dct_scale(const struct layout *layout, size_t width, size_t height) {
        for (size_t scale = 8; scale > 1; scale /= 2)
                if (width >= 2 * scale * layout->x.resized && height >= 2 * scale * layout->y.resized)
                        return (unsigned)scale;
        return 1;
}

/* full: pixels of the whole axis; scaled: of its scaled version, which covers up to scale - 1 pixels that do
 * not exist. They lie at the end, or at the beginning of an axis that orientation reverses. */
static struct weights_axis weights_axis_of(const struct preprocess_axis *axis, size_t full, size_t scaled,
                                           unsigned scale, bool reversed) {
        double length = (double)full / scale, from = reversed ? (double)scaled - length : 0.0;

        return (struct weights_axis){
                .in = scaled,
                .box_from = from,
                .box_to = from + length,
                .out = axis->resized,
                .from = axis->from,
                .n = axis->n,
        };
}

/* As stored is as shown: each row goes straight from libjpeg into the resize. */
static int read_upright(struct image_decoder *decoder, size_t height, struct error *error) {
        int r;

        for (size_t y = 0; y < height; y++) {
                r = jpeg_reader_row(decoder->jpeg, resizer_row(decoder->resizer), error);
                if (r < 0)
                        return r;
                resizer_commit(decoder->resizer);
        }
        return 0;
}

/* The last stored row may be the first one shown, so the whole (scaled) picture is held. Sizes are as
 * stored. */
static int read_turned(struct image_decoder *decoder, enum exif_orientation orientation, size_t width,
                       size_t height, struct error *error) {
        bool transposes = orientation_transposes(orientation);
        size_t shown_width = transposes ? height : width, shown_height = transposes ? width : height;
        size_t row_bytes, picture_bytes;
        int r;

        if (!size_multiply(&row_bytes, width, 3) || !size_multiply(&picture_bytes, row_bytes, height))
                return error_no_memory(error);
        r = buffer_reserve(&decoder->row, row_bytes, error);
        if (r < 0)
                return r;
        r = buffer_reserve(&decoder->picture, picture_bytes, error);
        if (r < 0)
                return r;

        for (size_t y = 0; y < height; y++) {
                r = jpeg_reader_row(decoder->jpeg, decoder->row.bytes, error);
                if (r < 0)
                        return r;
                orient_row(decoder->picture.bytes, decoder->row.bytes, y, width, height, orientation);
        }
        for (size_t y = 0; y < shown_height; y++) {
                memcpy(resizer_row(decoder->resizer),
                       (unsigned char *)decoder->picture.bytes + y * 3 * shown_width, 3 * shown_width);
                resizer_commit(decoder->resizer);
        }
        return 0;
}

static int decode_jpeg(struct image_decoder *decoder, unsigned char *pixels,
                       const struct preprocess *preprocess, const struct image_options *options,
                       const void *bytes, size_t size, struct image_info *ret_info, struct error *error) {
        size_t max_pixels = options->max_pixels > 0 ? options->max_pixels : IMAGE_MAX_PIXELS_DEFAULT;
        size_t width, height, stored_width, stored_height, stride_bytes = 3 * preprocess->crop_width;
        struct weights_axis x, y;
        struct jpeg_header header;
        struct layout layout;
        bool transposes;
        int r;

        r = jpeg_reader_open(decoder->jpeg, bytes, size, max_pixels, &header, error);
        if (r < 0)
                return r;
        transposes = orientation_transposes(header.orientation);
        width = transposes ? header.height : header.width;
        height = transposes ? header.width : header.height;
        preprocess_layout(&layout.x, &layout.y, preprocess, width, height);
        layout.scale = options->exact ? 1 : dct_scale(&layout, width, height);

        r = jpeg_reader_start(decoder->jpeg, layout.scale, &stored_width, &stored_height, error);
        if (r < 0)
                return r;
        x = weights_axis_of(&layout.x, width, transposes ? stored_height : stored_width, layout.scale,
                            orientation_reverses_x(header.orientation));
        y = weights_axis_of(&layout.y, height, transposes ? stored_width : stored_height, layout.scale,
                            orientation_reverses_y(header.orientation));
        r = resizer_begin(decoder->resizer, &x, &y, preprocess->filter,
                          pixels + layout.y.padding * stride_bytes + layout.x.padding * 3, stride_bytes,
                          error);
        if (r < 0)
                return r;

        if (layout.x.n < preprocess->crop_width || layout.y.n < preprocess->crop_height)
                memset(pixels, 0, preprocess->crop_height * stride_bytes);
        if (header.orientation == EXIF_TOP_LEFT)
                r = read_upright(decoder, stored_height, error);
        else
                r = read_turned(decoder, header.orientation, stored_width, stored_height, error);
        if (r < 0)
                return r;
        r = jpeg_reader_finish(decoder->jpeg, error);
        if (r < 0)
                return r;

        if (ret_info)
                *ret_info = (struct image_info){.format = IMAGE_FORMAT_JPEG,
                                                .width = width,
                                                .height = height,
                                                .scale = layout.scale};
        return 0;
}

int image_decode(struct image_decoder *decoder, unsigned char *pixels, const struct preprocess *preprocess,
                 const struct image_options *options, const void *bytes, size_t size,
                 struct image_info *ret_info, struct error *error) {
        int r;

        r = preprocess_check(preprocess, error);
        if (r < 0)
                return r;
        switch (image_format_of(bytes, size)) {
        case IMAGE_FORMAT_JPEG:
                r = decode_jpeg(decoder, pixels, preprocess, options, bytes, size, ret_info, error);
                break;
        case IMAGE_FORMAT_UNKNOWN:
        default:
                r = refuse_unknown(bytes, size, error);
                break;
        }
        decoder_rest(decoder);
        return r;
}
