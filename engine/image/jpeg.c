#include "engine/image/jpeg.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include <jerror.h>

#include "engine/image/buffer.h"

/*
 * libjpeg reports errors by a callback that must not return. Each entry point below sets reader->escape and
 * calls into libjpeg; everything that has to survive the jump lives in the reader, not in locals.
 */
struct jpeg_reader {
        struct jpeg_decompress_struct cinfo;
        struct jpeg_error_mgr error_manager;
        struct jpeg_source_mgr source;
        struct jpeg_progress_mgr progress;
        bool is_open;

        jmp_buf escape;
        struct error *error; /* of the call that runs */
        int code;            /* what that call failed with */

        size_t max_pixels;
        bool has_exif, header_done;
        enum exif_orientation orientation;
        struct buffer cmyk; /* one row: [width, 4] */
};

static struct jpeg_reader *reader_of(j_common_ptr cinfo) {
        return cinfo->client_data;
}

_Noreturn static void escape(struct jpeg_reader *reader, int code) {
        reader->code = code;
        longjmp(reader->escape, 1);
}

_Noreturn static void fail_truncated(struct jpeg_reader *reader) {
        escape(reader,
               error_set(reader->error, ERROR_INVALID,
                         "the JPEG file is truncated: it stops before its end marker; send the whole file"));
}

_Noreturn static void fail_corrupt(struct jpeg_reader *reader) {
        char message[JMSG_LENGTH_MAX];

        reader->error_manager.format_message((j_common_ptr)&reader->cinfo, message);
        escape(reader, error_set(reader->error, ERROR_INVALID,
                                 "the JPEG file is corrupt (%s); send an undamaged copy", message));
}

_Noreturn static void fail_unsupported(struct jpeg_reader *reader, const char *kind) {
        escape(reader,
               error_set(reader->error, ERROR_UNSUPPORTED,
                         "%s is not decoded; save the picture as a baseline or progressive JPEG of 8 "
                         "bits with Huffman coding",
                         kind));
}

_Noreturn static void fail_sof(struct jpeg_reader *reader, int marker) {
        static const char *const kinds[] = {
                [0x3] = "a lossless JPEG",
                [0x5] = "a hierarchical (differential sequential) JPEG",
                [0x6] = "a hierarchical (differential progressive) JPEG",
                [0x7] = "a hierarchical (differential lossless) JPEG",
                [0xb] = "a lossless JPEG with arithmetic coding",
                [0xd] = "a hierarchical (differential sequential) JPEG with arithmetic coding",
                [0xe] = "a hierarchical (differential progressive) JPEG with arithmetic coding",
                [0xf] = "a hierarchical (differential lossless) JPEG with arithmetic coding",
        };
        const char *kind = kinds[marker & 0xf];

        fail_unsupported(reader, kind ? kind : "a JPEG with a reserved coding process");
}

static void error_exit(j_common_ptr cinfo) {
        struct jpeg_reader *reader = reader_of(cinfo);
        const int *parameters = reader->error_manager.msg_parm.i;

        switch (reader->error_manager.msg_code) {
        case JERR_OUT_OF_MEMORY:
                escape(reader, error_no_memory(reader->error));
        case JERR_NO_BACKING_STORE: /* what the memory manager falls back to beyond max_memory_to_use */
                escape(reader,
                       error_set(reader->error, ERROR_LIMIT,
                                 "a JPEG of %u x %u pixels in several scans (progressive) needs more than "
                                 "%zu MiB to decode; send a smaller picture, or a baseline JPEG of one scan",
                                 reader->cinfo.image_width, reader->cinfo.image_height,
                                 JPEG_MAX_COEFFICIENT_BYTES >> 20));
        case JERR_IMAGE_TOO_BIG:
                escape(reader,
                       error_set(reader->error, ERROR_LIMIT,
                                 "%u x %u pixels: no side may have more than %d; send a smaller picture",
                                 reader->cinfo.image_width, reader->cinfo.image_height, parameters[0]));
        case JERR_EMPTY_IMAGE:
                escape(reader,
                       error_set(reader->error, ERROR_INVALID,
                                 "the JPEG header declares %u x %u pixels and %d channels: a picture "
                                 "has at least one of each; export it again",
                                 reader->cinfo.image_width, reader->cinfo.image_height,
                                 reader->cinfo.num_components));
        case JERR_BAD_PRECISION: {
                char kind[64];

                snprintf(kind, sizeof(kind), "a JPEG with %d bits per channel", parameters[0]);
                fail_unsupported(reader, kind);
        }
        case JERR_SOF_UNSUPPORTED:
                fail_sof(reader, parameters[0]);
        case JERR_COMPONENT_COUNT:
        case JERR_CONVERSION_NOTIMPL:
                fail_unsupported(reader, "a JPEG with this number of channels");
        case JERR_FRACT_SAMPLE_NOTIMPL:
        case JERR_CCIR601_NOTIMPL:
                fail_unsupported(reader, "a JPEG with fractional chroma subsampling");
        case JERR_NO_IMAGE:
                escape(reader,
                       error_set(reader->error, ERROR_INVALID,
                                 "the JPEG file ends without a picture (tables only); send a whole file"));
        default:
                fail_corrupt(reader);
        }
}

/* libjpeg warns and goes on with made-up pixels. Only warnings that change no pixel are let pass. */
static void emit_message(j_common_ptr cinfo, int level) {
        struct jpeg_reader *reader = reader_of(cinfo);

        if (level >= 0)
                return;
        switch (reader->error_manager.msg_code) {
        case JWRN_EXTRANEOUS_DATA: /* padding before a marker; cameras write it */
        case JWRN_JFIF_MAJOR:
        case JWRN_ADOBE_XFORM:
        case JWRN_BOGUS_ICC:
        case JWRN_NOT_SEQUENTIAL: /* wrong spectral parameters in a baseline scan, which has no use for them
                                   */
                return;
        case JWRN_JPEG_EOF:
                fail_truncated(reader);
        default:
                fail_corrupt(reader);
        }
}

static void output_message(j_common_ptr cinfo _unused_) {
}

static void source_init(j_decompress_ptr cinfo _unused_) {
}

/* All bytes were there from the start: whoever asks for more has reached the end too early. */
static boolean source_fill(j_decompress_ptr cinfo) {
        fail_truncated(reader_of((j_common_ptr)cinfo));
}

static void source_skip(j_decompress_ptr cinfo, long n_bytes) {
        struct jpeg_source_mgr *source = cinfo->src;

        if (n_bytes <= 0)
                return;
        if ((size_t)n_bytes > source->bytes_in_buffer)
                fail_truncated(reader_of((j_common_ptr)cinfo));
        source->next_input_byte += n_bytes;
        source->bytes_in_buffer -= (size_t)n_bytes;
}

/* Looks at an APP1 segment where it lies, without the copy that jpeg_save_markers() makes. */
static boolean read_app1(j_decompress_ptr cinfo) {
        struct jpeg_reader *reader = reader_of((j_common_ptr)cinfo);
        struct jpeg_source_mgr *source = cinfo->src;
        const unsigned char *payload = source->next_input_byte + 2;
        size_t length;

        if (source->bytes_in_buffer < 2)
                fail_truncated(reader);
        length = (size_t)source->next_input_byte[0] << 8 | source->next_input_byte[1];
        if (length < 2)
                escape(reader, error_set(reader->error, ERROR_INVALID,
                                         "the JPEG file is corrupt (an APP1 segment of %zu bytes); send an "
                                         "undamaged copy",
                                         length));
        if (length > source->bytes_in_buffer)
                fail_truncated(reader);

        /* APP1 is shared with XMP; the first EXIF counts, as long as the picture has not begun. */
        if (!reader->has_exif && !reader->header_done && exif_is(payload, length - 2)) {
                reader->has_exif = true;
                reader->orientation = exif_orientation_of(payload, length - 2);
        }
        source_skip(cinfo, (long)length);
        return TRUE;
}

static void watch_progress(j_common_ptr cinfo) {
        struct jpeg_reader *reader = reader_of(cinfo);

        if (reader->cinfo.input_scan_number > JPEG_MAX_SCANS)
                escape(reader, error_set(reader->error, ERROR_LIMIT,
                                         "the progressive JPEG has more than %d scans; export it again with "
                                         "fewer, or as baseline",
                                         JPEG_MAX_SCANS));
}

int jpeg_reader_new(struct jpeg_reader **ret_reader, struct error *error) {
        struct jpeg_reader *reader = calloc(1, sizeof(*reader));

        if (!reader)
                return error_no_memory(error);
        *ret_reader = reader;
        return 0;
}

void jpeg_reader_free(struct jpeg_reader *reader) {
        if (!reader)
                return;
        jpeg_reader_close(reader);
        buffer_release(&reader->cmyk);
        free(reader);
}

/* A new libjpeg object for each file: quantisation and Huffman tables outlive jpeg_abort_decompress(), and a
 * file without tables would be decoded by those of the file before. */
static void reader_create(struct jpeg_reader *reader, const void *bytes, size_t size) {
        reader->cinfo.err = jpeg_std_error(&reader->error_manager);
        reader->error_manager.error_exit = error_exit;
        reader->error_manager.emit_message = emit_message;
        reader->error_manager.output_message = output_message;
        reader->cinfo.client_data = reader;
        reader->is_open = true; /* also where creating it fails half way */
        jpeg_create_decompress(&reader->cinfo);

        reader->source = (struct jpeg_source_mgr){
                .next_input_byte = bytes,
                .bytes_in_buffer = size,
                .init_source = source_init,
                .fill_input_buffer = source_fill,
                .skip_input_data = source_skip,
                .resync_to_restart = jpeg_resync_to_restart,
                .term_source = source_init,
        };
        reader->cinfo.src = &reader->source;
        reader->progress = (struct jpeg_progress_mgr){.progress_monitor = watch_progress};
        reader->cinfo.progress = &reader->progress;
        reader->cinfo.mem->max_memory_to_use = (long)JPEG_MAX_COEFFICIENT_BYTES;
        jpeg_set_marker_processor(&reader->cinfo, JPEG_APP0 + 1, read_app1);
}

/* What libjpeg would decode, but is not to be; and how many pixels there are. */
static void check_header(struct jpeg_reader *reader) {
        size_t width = reader->cinfo.image_width, height = reader->cinfo.image_height;

        if (width * height > reader->max_pixels) /* 16 bits each: cannot overflow */
                escape(reader,
                       error_set(reader->error, ERROR_LIMIT,
                                 "%zu x %zu pixels are %zu, the limit is %zu; send a smaller picture", width,
                                 height, width * height, reader->max_pixels));
        if (reader->cinfo.arith_code)
                fail_unsupported(reader, "a JPEG with arithmetic coding");
        if (reader->cinfo.num_components != 1 && reader->cinfo.num_components != 3 &&
            reader->cinfo.num_components != 4) {
                char kind[64];

                snprintf(kind, sizeof(kind), "a JPEG with %d channels", reader->cinfo.num_components);
                fail_unsupported(reader, kind);
        }
}

int jpeg_reader_open(struct jpeg_reader *reader, const void *bytes, size_t size, size_t max_pixels,
                     struct jpeg_header *ret_header, struct error *error) {
        jpeg_reader_close(reader);
        reader->error = error;
        reader->max_pixels = max_pixels;
        reader->has_exif = reader->header_done = false;
        reader->orientation = EXIF_TOP_LEFT;
        if (setjmp(reader->escape))
                return reader->code;

        reader_create(reader, bytes, size);
        jpeg_read_header(&reader->cinfo, TRUE);
        reader->header_done = true;
        check_header(reader);

        *ret_header = (struct jpeg_header){
                .width = reader->cinfo.image_width,
                .height = reader->cinfo.image_height,
                .orientation = reader->orientation,
        };
        return 0;
}

/* A component that no scan sent has no table latched: libjpeg would fill it with grey. */
static void check_components(struct jpeg_reader *reader) {
        for (int i = 0; i < reader->cinfo.num_components; i++)
                if (!reader->cinfo.comp_info[i].quant_table)
                        escape(reader, error_set(reader->error, ERROR_INVALID,
                                                 "the JPEG file has no data for channel %d of %d; send the "
                                                 "whole file",
                                                 i + 1, reader->cinfo.num_components));
}

int jpeg_reader_start(struct jpeg_reader *reader, unsigned scale, size_t *ret_width, size_t *ret_height,
                      struct error *error) {
        struct jpeg_decompress_struct *cinfo = &reader->cinfo;

        reader->error = error;
        if (setjmp(reader->escape))
                return reader->code;

        cinfo->out_color_space = cinfo->num_components == 4 ? JCS_CMYK : JCS_RGB;
        cinfo->scale_num = 1;
        cinfo->scale_denom = scale;
        jpeg_start_decompress(cinfo);
        check_components(reader);
        if (cinfo->out_color_space == JCS_CMYK) {
                int r = buffer_reserve(&reader->cmyk, (size_t)cinfo->output_width * 4, error);

                if (r < 0)
                        return r;
        }

        *ret_width = cinfo->output_width;
        *ret_height = cinfo->output_height;
        return 0;
}

/* round(a * b / 255.0) without a division; exact for 8-bit a and b. Blinn 1995, "Three Wrongs Make a Right".
 */
static unsigned multiply_255(unsigned a, unsigned b) {
        unsigned product = a * b + 128;

        return (product + (product >> 8)) >> 8;
}

/* CMYK in JPEG files is inverted, as Adobe's programs write it: 255 is no ink. With k the paper that black
 * leaves, a channel is k - ink * k, rounded as Pillow's conversion from CMYK to RGB. */
static void rgb_from_cmyk(unsigned char *rgb, const unsigned char *cmyk, size_t n_pixels) {
        for (size_t i = 0; i < n_pixels; i++) {
                unsigned k = cmyk[4 * i + 3];

                for (size_t c = 0; c < 3; c++)
                        rgb[3 * i + c] = (unsigned char)(k - multiply_255(255u - cmyk[4 * i + c], k));
        }
}

int jpeg_reader_row(struct jpeg_reader *reader, unsigned char *row, struct error *error) {
        bool is_cmyk = reader->cinfo.out_color_space == JCS_CMYK;
        JSAMPROW rows[] = {is_cmyk ? reader->cmyk.bytes : row};

        reader->error = error;
        if (setjmp(reader->escape))
                return reader->code;

        if (jpeg_read_scanlines(&reader->cinfo, rows, 1) != 1)
                return error_set(error, ERROR_INTERNAL, "libjpeg gave no row");
        if (is_cmyk)
                rgb_from_cmyk(row, reader->cmyk.bytes, reader->cinfo.output_width);
        return 0;
}

int jpeg_reader_finish(struct jpeg_reader *reader, struct error *error) {
        reader->error = error;
        if (setjmp(reader->escape))
                return reader->code;

        jpeg_finish_decompress(&reader->cinfo);
        return 0;
}

void jpeg_reader_close(struct jpeg_reader *reader) {
        if (reader->is_open)
                jpeg_destroy_decompress(&reader->cinfo);
        reader->is_open = false;
        reader->error = NULL;
}
