#pragma once
/* bytes_internal: between native/bytes_*.c, which divide work, and its vector code for each instruction set.
 */
#include "engine/native/bytes.h"

#define BYTES_WIDTH_MOST    64u    /* bytes of the widest vector of any instruction set */
#define BYTES_COLUMNS_BYTES 16384u /* half a first cache: columns of depthwise's inputs, made ready */

/* What a part of any work is given; what of it is used depends on the work. */
struct bytes_job {
        const void *op; /* struct bytes_binary, ... */
        const void *src, *other, *weights;
        void *dst;
};

/* Units begin to end of a job: rows, pixels or blocks. */
typedef void bytes_part(const struct bytes_job *job, size_t begin, size_t end);

struct bytes_code {
        const char *isa;
        size_t width; /* channels of the widest block */
        size_t rows;  /* of a window that lie together in a lane of 32 bits: 4 bytes or 2 words */
        bytes_part *depthwise, *pool, *global_pool, *binary, *lookup, *pixels, *quantise, *dequantise;
};

extern const struct bytes_code bytes_avx2, bytes_avx512;

bytes_part bytes_lookup_vbmi, bytes_pixels_vbmi;

/* The best for this CPU, or NULL. */
const struct bytes_code *bytes_best(void);

/* All units of job by up to threads threads, or one where work, in bytes or products, is little. */
void bytes_run(bytes_part *part, const struct bytes_job *job, size_t units, double work, size_t threads);

/*
 * Channels come in blocks as wide as a vector, the last ones narrower. Of rest channels the next block's
 * width: all but the last are full, and the last is over half full or as narrow as they get.
 */
static inline size_t bytes_block(size_t rest, size_t widest) {
        if (rest > 48 && widest == 64)
                return 64;
        return rest > 16 ? 32 : 16;
}

/*
 * Packed weights of depthwise on bytes, for each block of width W: the lanes of unpacked bytes (channel
 * 16 l + 4 v + i of a block is lane 4 l + i of vector v) give the order of everything.
 * [struct bytes_block_head][offset: int32 W][scale: float W][bias: float W][kw, groups of rows, 4 W bytes]
 */
struct bytes_block_head {
        uint32_t wide; /* real results may be too large for an int32 */
        uint32_t unused[15];
};

static inline size_t bytes_depthwise_groups(const struct bytes_depthwise *p, size_t rows) {
        return (p->window.kernel[0] + rows - 1) / rows;
}

static inline size_t bytes_block_bytes(const struct bytes_depthwise *p, size_t rows, size_t width) {
        return sizeof(struct bytes_block_head) + 12 * width +
               p->window.kernel[1] * bytes_depthwise_groups(p, rows) * 4 * width;
}

/* Results that are stored as bytes at once, the scale of the result among the other ones. */
static inline bool bytes_is_direct(enum bytes_type result, const struct native_epilogue *epilogue) {
        return result == BYTES_U8 && epilogue->activation == NATIVE_CLIP && !epilogue->sum;
}

/* y as an integer of real. */
int32_t bytes_from_real(struct bytes_real real, float y);
