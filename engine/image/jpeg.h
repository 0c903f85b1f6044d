#pragma once
/*
 * jpeg: the bytes of a JPEG file -> rows of uint8 RGB, top to bottom as stored.
 *
 * libjpeg-turbo behind an interface without longjmp. The bytes are hostile: a file that is truncated or
 * corrupt is an error, never a picture with grey parts, and nothing is allocated in proportion to the size
 * that a header claims before that size was compared with a limit. Order of calls: open, start, row for each
 * row, finish; close at any time. One thread at a time.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/image/exif.h"

/* Scans of one progressive file. Encoders write some 10; each further one costs a pass over all
 * coefficients, for which an attacker pays with a few bytes. */
#define JPEG_MAX_SCANS 64

/* Coefficients that a progressive file keeps in memory: 64 megapixels at 4:2:0, 44 at 4:4:4. */
#define JPEG_MAX_COEFFICIENT_BYTES ((size_t)256 << 20)

struct jpeg_reader;

struct jpeg_header {
        size_t width, height; /* pixels as stored */
        enum exif_orientation orientation;
};

int jpeg_reader_new(struct jpeg_reader **ret_reader, struct error *error);
void jpeg_reader_free(struct jpeg_reader *reader);
DEFINE_CLEANUP(jpeg_reader)

/*
 * Reads the header; bytes must stay until jpeg_reader_close(). Fails with
 *   ERROR_INVALID      truncated, corrupt, or without a picture
 *   ERROR_UNSUPPORTED  a kind of JPEG that is not decoded: 12 bits, arithmetic coding, lossless, 2 channels
 *   ERROR_LIMIT        more pixels than max_pixels
 *   ERROR_NO_MEMORY
 */
int jpeg_reader_open(struct jpeg_reader *reader, const void *bytes, size_t size, size_t max_pixels,
                     struct jpeg_header *ret_header, struct error *error);

/* Begins decoding at 1/scale (1, 2, 4 or 8) of the size, each side rounded up. Fails as jpeg_reader_open(),
 * and with ERROR_LIMIT beyond JPEG_MAX_SCANS or JPEG_MAX_COEFFICIENT_BYTES. */
int jpeg_reader_start(struct jpeg_reader *reader, unsigned scale, size_t *ret_width, size_t *ret_height,
                      struct error *error);

/* row: [width, 3]. */
int jpeg_reader_row(struct jpeg_reader *reader, unsigned char *row, struct error *error);

/* After the last row: reads on to the end marker, so that a truncated file does not pass. */
int jpeg_reader_finish(struct jpeg_reader *reader, struct error *error);

/* Gives back everything that belongs to the file; may be called twice. */
void jpeg_reader_close(struct jpeg_reader *reader);
