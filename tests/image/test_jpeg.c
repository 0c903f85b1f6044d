/* JPEG to tensor: each kind against Pillow's pixels, and bytes that are no good picture. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/macros.h"
#include "engine/image/image.h"
#include "engine/image/jpeg.h"
#include "tests/image/vectors.h"

/* The whole picture as it is: no resize, the crop as large as the picture. */
static struct preprocess whole(size_t width, size_t height) {
        return (struct preprocess){.crop_width = width, .crop_height = height};
}

static const struct preprocess tiny = {.resize_shorter = 9, .crop_width = 9, .crop_height = 9};

static struct image_decoder *decoder;

static void decoder_setup(void) {
        struct error error;

        ck_assert_msg(image_decoder_new(&decoder, &error) == 0, "%s", error.text);
}

static void decoder_teardown(void) {
        image_decoder_free(decoder);
        decoder = NULL;
}

/* Decodes a copy of the exact size, so that a sanitizer sees each byte that is read too far. */
static int decode(unsigned char *pixels, const struct preprocess *preprocess,
                  const struct image_options *options, const void *bytes, size_t size,
                  struct image_info *ret_info, struct error *error) {
        _cleanup_(freep) void *copy = malloc(size > 0 ? size : 1);

        memcpy(copy, bytes, size);
        return image_decode(decoder, pixels, preprocess, options, copy, size, ret_info, error);
}

static void pixels_match(const char *name, const struct preprocess *preprocess, unsigned scale, size_t width,
                         size_t height) {
        _cleanup_(blob_release) struct blob file = vector_read(name, ".jpg"),
                                            expected = vector_read(name, ".rgb");
        _cleanup_(freep) unsigned char *pixels = malloc(expected.size);
        struct image_options options = {0};
        struct image_info info;
        struct error error;

        ck_assert_uint_eq(expected.size, preprocess->crop_width * preprocess->crop_height * 3);
        ck_assert_msg(decode(pixels, preprocess, &options, file.bytes, file.size, &info, &error) == 0,
                      "%s: %s", name, error.text);
        ck_assert_int_eq(info.format, IMAGE_FORMAT_JPEG);
        ck_assert_uint_eq(info.scale, scale);
        ck_assert_uint_eq(info.width, width);
        ck_assert_uint_eq(info.height, height);
        for (size_t i = 0; i < expected.size; i++)
                ck_assert_msg(pixels[i] == expected.bytes[i],
                              "%s: row %zu, column %zu, channel %zu: %d, not %d", name,
                              i / 3 / preprocess->crop_width, i / 3 % preprocess->crop_width, i % 3,
                              pixels[i], expected.bytes[i]);
}

static const char *const kinds[] = {
        "baseline_444",
        "baseline_422",
        "baseline_420",
        "baseline_restarts",
        "progressive_420",
        "progressive_444",
        "grey",
        "grey_progressive",
        "rgb",
        "cmyk_progressive",
        "cmyk",
        "ycck",
};

/* No tolerance: libjpeg-turbo's default inverse DCT and chroma upsampling are integer arithmetic that its
 * SIMD code and all its versions give to the bit, and Pillow uses the same library. */
START_TEST(each_kind_of_jpeg_becomes_pillows_pixels) {
        struct preprocess preprocess = whole(61, 43);

        pixels_match(kinds[_i], &preprocess, 1, 61, 43);
}
END_TEST

START_TEST(one_pixel_is_a_picture) {
        struct preprocess preprocess = whole(1, 1);

        pixels_match("one_pixel", &preprocess, 1, 1, 1);
}
END_TEST

START_TEST(exif_orientation_is_applied_as_pillow_does) {
        struct preprocess preprocess = _i < 5 ? whole(37, 23) : whole(23, 37);
        char name[16];

        snprintf(name, sizeof(name), "exif_%d", _i);
        pixels_match(name, &preprocess, 1, preprocess.crop_width, preprocess.crop_height);
}
END_TEST

START_TEST(dct_scaling_and_resize_equal_pillows_draft_and_box) {
        char name[16];

        snprintf(name, sizeof(name), "scaled_%d", _i);
        pixels_match(name, &tiny, 8, _i < 5 ? 203 : 157, _i < 5 ? 157 : 203);
}
END_TEST

static unsigned scale_for(struct preprocess preprocess, bool exact) {
        _cleanup_(blob_release) struct blob file = vector_read("scaled_1", ".jpg");
        struct image_options options = {.exact = exact};
        unsigned char pixels[5 * 5 * 3];
        struct image_info info;
        struct error error;

        preprocess.crop_width = preprocess.crop_height = 5;
        ck_assert_msg(decode(pixels, &preprocess, &options, file.bytes, file.size, &info, &error) == 0, "%s",
                      error.text);
        return info.scale;
}

static unsigned scale_for_shorter(size_t side, bool exact) {
        return scale_for((struct preprocess){.resize_shorter = side}, exact);
}

static unsigned scale_for_size(size_t width, size_t height) {
        return scale_for((struct preprocess){.resize_width = width, .resize_height = height}, false);
}

START_TEST(dct_scales_only_where_twice_the_size_is_left) {
        /* 157 pixels: 157 / 8 >= 2 * 9, 157 / 4 >= 2 * 19, 157 / 2 >= 2 * 39 */
        ck_assert_uint_eq(scale_for_shorter(9, false), 8);
        ck_assert_uint_eq(scale_for_shorter(10, false), 4);
        ck_assert_uint_eq(scale_for_shorter(19, false), 4);
        ck_assert_uint_eq(scale_for_shorter(20, false), 2);
        ck_assert_uint_eq(scale_for_shorter(39, false), 2);
        ck_assert_uint_eq(scale_for_shorter(40, false), 1);
        ck_assert_uint_eq(scale_for_shorter(9, true), 1);
}
END_TEST

START_TEST(dct_scaling_leaves_enough_of_both_sides) {
        /* 203 x 157 pixels: 203 / 4 >= 2 * 25, 157 / 4 >= 2 * 19 */
        ck_assert_uint_eq(scale_for_size(25, 5), 4);
        ck_assert_uint_eq(scale_for_size(26, 5), 2);
        ck_assert_uint_eq(scale_for_size(5, 19), 4);
        ck_assert_uint_eq(scale_for_size(5, 20), 2);
}
END_TEST

START_TEST(a_picture_smaller_than_the_crop_lies_in_zeros) {
        _cleanup_(blob_release) struct blob file = vector_read("baseline_444", ".jpg");
        _cleanup_(blob_release) struct blob expected = vector_read("baseline_444", ".rgb");
        struct preprocess preprocess = whole(66, 50);
        struct image_options options = {0};
        unsigned char pixels[50][66][3];
        struct error error;

        memset(pixels, 0xa5, sizeof(pixels));
        ck_assert_int_eq(
                decode(&pixels[0][0][0], &preprocess, &options, file.bytes, file.size, NULL, &error), 0);
        for (size_t y = 0; y < 50; y++)
                for (size_t x = 0; x < 66; x++) {
                        /* (66 - 61) / 2 and (50 - 43) / 2, rounded down */
                        bool inside = x >= 2 && x < 63 && y >= 3 && y < 46;
                        const unsigned char zeros[3] = {0};

                        ck_assert_mem_eq(pixels[y][x],
                                         inside ? expected.bytes + ((y - 3) * 61 + x - 2) * 3 : zeros, 3);
                }
}
END_TEST

static void refused(const void *bytes, size_t size, int code, const char *text) {
        struct image_info info = {.width = 12345};
        struct image_options options = {0};
        struct error error = ERROR_NONE;
        unsigned char pixels[9 * 9 * 3];

        ck_assert_msg(decode(pixels, &tiny, &options, bytes, size, &info, &error) == code,
                      "code %d (%s), expected %d (%s)", error.code, error.text, code, text);
        ck_assert_int_eq(error.code, code);
        ck_assert_msg(strstr(error.text, text) != NULL, "'%s' does not say '%s'", error.text, text);
        ck_assert_uint_eq(info.width, 12345);
}

#define REFUSED(literal, code, text) refused(literal, sizeof(literal) - 1, code, text)

START_TEST(what_is_no_image_is_named) {
        REFUSED("", ERROR_INVALID, "empty (0 bytes)");
        REFUSED("\xff", ERROR_INVALID, "1 byte tell");
        REFUSED("\xff\xd8", ERROR_INVALID, "2 bytes tell");
        REFUSED("hello, world", ERROR_UNSUPPORTED, "this is text");
        REFUSED("{\"image\":\"abc\"}", ERROR_UNSUPPORTED, "this is text");
        REFUSED("\x01\x02\x03\x04", ERROR_UNSUPPORTED, "begin with 01 02 03); supported: JPEG");
}
END_TEST

START_TEST(other_formats_are_named) {
        REFUSED("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ERROR_UNSUPPORTED, "this is a PNG image; supported: JPEG");
        REFUSED("RIFF\x10\0\0\0WEBPVP8 ", ERROR_UNSUPPORTED, "a WebP image");
        REFUSED("GIF89a\1\0\1\0", ERROR_UNSUPPORTED, "a GIF image");
        REFUSED("II*\0\x08\0\0\0", ERROR_UNSUPPORTED, "a TIFF image");
        REFUSED("MM\0*\0\0\0\x08", ERROR_UNSUPPORTED, "a TIFF image");
        REFUSED("BM\x10\0\0\0\0\0\0\0\x36\0\0\0", ERROR_UNSUPPORTED, "a BMP image");
        REFUSED("\0\0\0\x20"
                "ftypheic\0\0\0\0",
                ERROR_UNSUPPORTED, "a HEIF image");
        REFUSED("\0\0\0\x20"
                "ftypavif\0\0\0\0",
                ERROR_UNSUPPORTED, "an AVIF image");
        REFUSED("\xff\x0a\x00\x00", ERROR_UNSUPPORTED, "a JPEG XL image");
}
END_TEST

START_TEST(the_format_is_told_by_the_first_bytes) {
        ck_assert_int_eq(image_format_of("\xff\xd8\xff\xe0", 4), IMAGE_FORMAT_JPEG);
        ck_assert_int_eq(image_format_of("\xff\xd8\xff", 2), IMAGE_FORMAT_UNKNOWN);
        ck_assert_int_eq(image_format_of("\x89PNG\r\n\x1a\n", 8), IMAGE_FORMAT_UNKNOWN);
        ck_assert_int_eq(image_format_of(NULL, 0), IMAGE_FORMAT_UNKNOWN);
}
END_TEST

static const char *const cut_files[] = {
        "baseline_420", "baseline_restarts", "progressive_420",     "cmyk", "grey",
        "exif_6",       "scaled_6",          "last_block_buffered",
};

START_TEST(a_file_cut_at_any_byte_is_refused) {
        _cleanup_(blob_release) struct blob file = vector_read(cut_files[_i], ".jpg");

        for (size_t size = 0; size < file.size; size++)
                refused(file.bytes, size, ERROR_INVALID, size == 0 ? "empty" : "truncated");
}
END_TEST

START_TEST(an_end_marker_in_the_middle_does_not_hide_that_the_rest_is_missing) {
        _cleanup_(blob_release) struct blob file = vector_read("baseline_420", ".jpg");
        unsigned char bytes[4096];
        size_t half = file.size - 300;

        memcpy(bytes, file.bytes, half);
        memcpy(bytes + half, "\xff\xd9", 2);
        refused(bytes, half + 2, ERROR_INVALID,
                "corrupt (Corrupt JPEG data: premature end of data segment)");
}
END_TEST

/* Position of the first marker of that code. */
static size_t marker_at(const unsigned char *bytes, size_t size, unsigned char code) {
        for (size_t at = 0; at + 1 < size; at++)
                if (bytes[at] == 0xff && bytes[at + 1] == code)
                        return at;
        ck_abort_msg("no marker %02x", code);
        return 0;
}

/* A file in which the frame header was overwritten from its byte offset on (0 is the 0xff of the marker). */
static void refused_with_frame(const char *name, unsigned char code, size_t offset, const void *patch,
                               size_t n_patch, int expected, const char *text) {
        _cleanup_(blob_release) struct blob file = vector_read(name, ".jpg");
        unsigned char bytes[4096];

        ck_assert_uint_le(file.size, sizeof(bytes));
        memcpy(bytes, file.bytes, file.size);
        memcpy(bytes + marker_at(bytes, file.size, code) + offset, patch, n_patch);
        refused(bytes, file.size, expected, text);
}

START_TEST(kinds_of_jpeg_that_are_not_decoded_are_named) {
        refused_with_frame("baseline_444", 0xc0, 4, "\x0c", 1, ERROR_UNSUPPORTED, "12 bits per channel");
        refused_with_frame("baseline_444", 0xc0, 1, "\xc3", 1, ERROR_UNSUPPORTED, "a lossless JPEG");
        refused_with_frame("baseline_444", 0xc0, 1, "\xc9", 1, ERROR_UNSUPPORTED, "arithmetic coding");
        refused_with_frame("progressive_444", 0xc2, 1, "\xca", 1, ERROR_UNSUPPORTED, "arithmetic coding");
        refused_with_frame("baseline_444", 0xc0, 1, "\xc5", 1, ERROR_UNSUPPORTED, "hierarchical");
}
END_TEST

START_TEST(a_side_of_zero_is_refused) {
        refused_with_frame("baseline_444", 0xc0, 5, "\0\0", 2, ERROR_INVALID, "61 x 0 pixels");
        refused_with_frame("baseline_444", 0xc0, 7, "\0\0", 2, ERROR_INVALID, "0 x 43 pixels");
}
END_TEST

START_TEST(a_side_beyond_libjpegs_limit_is_refused) {
        refused_with_frame("baseline_444", 0xc0, 5, "\xff\xff\xff\xff", 4, ERROR_LIMIT,
                           "65535 x 65535 pixels: no side may have more than 65500");
}
END_TEST

START_TEST(too_many_pixels_are_refused_before_memory_is_taken) {
        struct rusage before, after;

        getrusage(RUSAGE_SELF, &before);
        /* 60000 x 60000 */
        refused_with_frame("baseline_444", 0xc0, 5, "\xea\x60\xea\x60", 4, ERROR_LIMIT,
                           "60000 x 60000 pixels are 3600000000, the limit is 67108864");
        refused_with_frame("progressive_444", 0xc2, 5, "\xea\x60\xea\x60", 4, ERROR_LIMIT,
                           "60000 x 60000 pixels are 3600000000, the limit is 67108864");
        getrusage(RUSAGE_SELF, &after);
        ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 4096); /* KiB */
}
END_TEST

START_TEST(the_pixel_limit_is_the_callers) {
        _cleanup_(blob_release) struct blob file = vector_read("baseline_444", ".jpg");
        struct image_options options = {.max_pixels = 61 * 43};
        unsigned char pixels[9 * 9 * 3];
        struct error error;

        ck_assert_int_eq(decode(pixels, &tiny, &options, file.bytes, file.size, NULL, &error), 0);
        options.max_pixels--;
        ck_assert_int_eq(decode(pixels, &tiny, &options, file.bytes, file.size, NULL, &error), ERROR_LIMIT);
        ck_assert_ptr_nonnull(strstr(error.text, "61 x 43 pixels are 2623, the limit is 2622"));
}
END_TEST

START_TEST(a_progressive_file_that_takes_too_much_memory_is_refused) {
        /* 8192 x 8192, within 64 megapixels: 384 MiB of coefficients at 4:4:4 */
        refused_with_frame("progressive_444", 0xc2, 5, "\x20\0\x20\0", 4, ERROR_LIMIT,
                           "8192 x 8192 pixels in several scans (progressive) needs more than 256 MiB");
}
END_TEST

START_TEST(a_progressive_file_may_have_so_many_scans_and_no_more) {
        _cleanup_(blob_release) struct blob file = vector_read("scans_65", ".jpg");
        struct preprocess preprocess = whole(8, 8);

        ck_assert_int_eq(JPEG_MAX_SCANS, 64);
        pixels_match("scans_64", &preprocess, 1, 8, 8);
        refused(file.bytes, file.size, ERROR_LIMIT, "more than 64 scans");
}
END_TEST

START_TEST(a_channel_that_no_scan_sends_is_refused) {
        _cleanup_(blob_release) struct blob file = vector_read("progressive_444", ".jpg");
        unsigned char bytes[4096];
        size_t scan = marker_at(file.bytes, file.size, 0xda);

        /* Only the first scan, and of its three channels only the first: one entry and its length less. */
        memcpy(bytes, file.bytes, scan);
        memcpy(bytes + scan, "\xff\xda\0\x08\x01\x01\0\0\0\x01", 10);
        memset(bytes + scan + 10, 0, 1000);
        memcpy(bytes + scan + 1010, "\xff\xd9", 2);
        refused(bytes, scan + 1012, ERROR_INVALID, "no data for channel 2 of 3");
}
END_TEST

START_TEST(tables_without_a_picture_are_refused) {
        _cleanup_(blob_release) struct blob file = vector_read("baseline_444", ".jpg");
        unsigned char bytes[4096];
        size_t frame = marker_at(file.bytes, file.size, 0xc0);

        memcpy(bytes, file.bytes, frame);
        memcpy(bytes + frame, "\xff\xd9", 2);
        refused(bytes, frame + 2, ERROR_INVALID, "without a picture");
}
END_TEST

START_TEST(tables_of_one_file_never_serve_the_next) {
        _cleanup_(blob_release) struct blob file = vector_read("grey", ".jpg");
        struct image_options options = {0};
        unsigned char bytes[4096], pixels[9 * 9 * 3];
        size_t tables = marker_at(file.bytes, file.size, 0xdb);
        size_t length = 2 + ((size_t)file.bytes[tables + 2] << 8 | file.bytes[tables + 3]);
        struct error error;

        ck_assert_int_eq(decode(pixels, &tiny, &options, file.bytes, file.size, NULL, &error), 0);
        memcpy(bytes, file.bytes, tables);
        memcpy(bytes + tables, file.bytes + tables + length, file.size - tables - length);
        refused(bytes, file.size - length, ERROR_INVALID, "Quantization table 0x00 was not defined");
}
END_TEST

START_TEST(bytes_between_segments_are_harmless) {
        _cleanup_(blob_release) struct blob file = vector_read("baseline_444", ".jpg");
        _cleanup_(blob_release) struct blob expected = vector_read("baseline_444", ".rgb");
        struct preprocess preprocess = whole(61, 43);
        struct image_options options = {0};
        unsigned char bytes[4096], pixels[61 * 43 * 3];
        struct error error;

        memcpy(bytes, file.bytes, file.size - 2);
        memset(bytes + file.size - 2, 0, 7);
        memcpy(bytes + file.size + 5, "\xff\xd9trailer", 9);
        ck_assert_msg(decode(pixels, &preprocess, &options, bytes, file.size + 14, NULL, &error) == 0, "%s",
                      error.text);
        ck_assert_mem_eq(pixels, expected.bytes, expected.size);
}
END_TEST

START_TEST(a_broken_exif_segment_is_no_error) {
        _cleanup_(blob_release) struct blob file = vector_read("exif_6", ".jpg");
        struct preprocess preprocess = whole(37, 23);
        unsigned char bytes[4096], pixels[37 * 23 * 3];
        struct image_options options = {0};
        struct image_info info;
        struct error error;

        memcpy(bytes, file.bytes, file.size);
        bytes[marker_at(bytes, file.size, 0xe1) + 10] = 'X'; /* "II" */
        ck_assert_int_eq(decode(pixels, &preprocess, &options, bytes, file.size, &info, &error), 0);
        ck_assert_uint_eq(info.width, 37);
}
END_TEST

START_TEST(an_exif_segment_longer_than_the_file_is_refused) {
        REFUSED("\xff\xd8\xff\xe1\xff\xff"
                "Exif\0\0II*\0\x08\0\0\0",
                ERROR_INVALID, "truncated");
        REFUSED("\xff\xd8\xff\xe1\0\1", ERROR_INVALID, "APP1 segment of 1 bytes");
        REFUSED("\xff\xd8\xff\xe1\0", ERROR_INVALID, "truncated");
}
END_TEST

START_TEST(any_changed_byte_gives_a_picture_or_an_error_that_says_something) {
        static const char *const names[] = {"baseline_420", "baseline_restarts", "progressive_420", "cmyk",
                                            "exif_6"};
        _cleanup_(blob_release) struct blob file = vector_read(names[_i], ".jpg");
        static const unsigned char masks[] = {0x01, 0x10, 0x80, 0xff};
        struct image_options options = {.max_pixels = (size_t)1 << 20};
        unsigned char bytes[4096], pixels[9 * 9 * 3];
        size_t n_refused = 0;

        memcpy(bytes, file.bytes, file.size);
        for (size_t i = 0; i < file.size; i++)
                for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
                        struct error error = ERROR_NONE;
                        int r;

                        bytes[i] ^= masks[m];
                        r = decode(pixels, &tiny, &options, bytes, file.size, NULL, &error);
                        ck_assert_int_eq(r, error.code);
                        ck_assert_int_ne(r, ERROR_INTERNAL);
                        ck_assert_int_ne(r, ERROR_NO_MEMORY);
                        ck_assert((r == 0) == (error.text[0] == 0));
                        n_refused += r < 0;
                        bytes[i] ^= masks[m];
                }
        ck_assert_uint_gt(n_refused, file.size / 4);
}
END_TEST

START_TEST(a_decoder_forgets_the_picture_before) {
        struct preprocess preprocess = whole(61, 43), turned = whole(23, 37);

        for (size_t i = 0; i < 3; i++) {
                pixels_match("scaled_6", &tiny, 8, 157, 203);
                pixels_match("ycck", &preprocess, 1, 61, 43);
                refused("\xff\xd8\xff\xe1\0", 5, ERROR_INVALID, "truncated");
                pixels_match("exif_5", &turned, 1, 23, 37);
                pixels_match("baseline_420", &preprocess, 1, 61, 43);
        }
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("jpeg");

        tcase_add_checked_fixture(tcase, decoder_setup, decoder_teardown);
        tcase_add_loop_test(tcase, each_kind_of_jpeg_becomes_pillows_pixels, 0, ARRAY_SIZE(kinds));
        tcase_add_test(tcase, one_pixel_is_a_picture);
        tcase_add_loop_test(tcase, exif_orientation_is_applied_as_pillow_does, 1, 9);
        tcase_add_loop_test(tcase, dct_scaling_and_resize_equal_pillows_draft_and_box, 1, 9);
        tcase_add_test(tcase, dct_scales_only_where_twice_the_size_is_left);
        tcase_add_test(tcase, dct_scaling_leaves_enough_of_both_sides);
        tcase_add_test(tcase, a_picture_smaller_than_the_crop_lies_in_zeros);
        tcase_add_test(tcase, what_is_no_image_is_named);
        tcase_add_test(tcase, other_formats_are_named);
        tcase_add_test(tcase, the_format_is_told_by_the_first_bytes);
        tcase_add_loop_test(tcase, a_file_cut_at_any_byte_is_refused, 0, ARRAY_SIZE(cut_files));
        tcase_add_test(tcase, an_end_marker_in_the_middle_does_not_hide_that_the_rest_is_missing);
        tcase_add_test(tcase, kinds_of_jpeg_that_are_not_decoded_are_named);
        tcase_add_test(tcase, a_side_of_zero_is_refused);
        tcase_add_test(tcase, a_side_beyond_libjpegs_limit_is_refused);
        tcase_add_test(tcase, too_many_pixels_are_refused_before_memory_is_taken);
        tcase_add_test(tcase, the_pixel_limit_is_the_callers);
        tcase_add_test(tcase, a_progressive_file_that_takes_too_much_memory_is_refused);
        tcase_add_test(tcase, a_progressive_file_may_have_so_many_scans_and_no_more);
        tcase_add_test(tcase, a_channel_that_no_scan_sends_is_refused);
        tcase_add_test(tcase, tables_without_a_picture_are_refused);
        tcase_add_test(tcase, tables_of_one_file_never_serve_the_next);
        tcase_add_test(tcase, bytes_between_segments_are_harmless);
        tcase_add_test(tcase, a_broken_exif_segment_is_no_error);
        tcase_add_test(tcase, an_exif_segment_longer_than_the_file_is_refused);
        tcase_add_loop_test(tcase, any_changed_byte_gives_a_picture_or_an_error_that_says_something, 0, 5);
        tcase_add_test(tcase, a_decoder_forgets_the_picture_before);
        return vector_main("image jpeg", tcase);
}
