#pragma once
/*
 * operands: what tests of native code give it: random numbers that depend on a seed alone, and memory that
 * ends where a page ends which nobody may touch, so that no access behind it goes unnoticed.
 */
#include <stddef.h>
#include <stdint.h>

#include "engine/native/bytes.h"

/* Bytes that code may read beyond a source of bytes. */
#define OPERANDS_SLACK 63u

void draw_seed(uint64_t seed);
uint32_t draw(uint32_t below);
float draw_float(void); /* -1 to 1 */

/* A scale of some hundredths, half of the time a power of two, and a zero point of 0 to 255. */
struct bytes_real draw_real(void);

struct guarded {
        void *mapping;
        size_t mapping_bytes;
        unsigned char *bytes; /* of one value, so that what was not written is known */
};

/* bytes: a multiple of what the contents are aligned to. */
struct guarded guarded_new(size_t bytes);
void guarded_free(struct guarded *g); /* { 0 } is allowed */

/* Random bytes, or 255 in all of them, and the slack. */
struct guarded guarded_random(size_t bytes);

/* Fails where anything was written behind the first used bytes of a pixel. */
void guarded_check_gaps(const struct guarded *g, size_t pixels, size_t pixel_bytes, size_t used_bytes);

/* Fails unless got is the integer that means y. One step off is right only where y is next to a tie. */
void check_integer(struct bytes_real real, double y, double got);
