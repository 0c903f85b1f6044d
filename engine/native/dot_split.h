#pragma once
/*
 * dot_split: int8 weights for AVX2, in a form in which nothing saturates.
 *
 * vpmaddubsw adds two products in int16. 255 times 128 fits, so a lane is safe where its positive weights
 * add up to no more than 128, and its negative ones too. Blocks in which a pair of weights exceeds that are
 * split: the excess becomes a block of its own, of the same inputs. What a lane has left is used: up to
 * DOT_SPLIT_DEPTH blocks that fit together are added in int16 before vpmaddwd makes int32 of the sum.
 */
#include "engine/native/dot_internal.h"

#define DOT_SPLIT_DEPTH  4u
#define DOT_SPLIT_VECTOR 32u /* bytes of a block's weights */
#define DOT_SPLIT_OFFSET                                                                                    \
        20u /* bits of an entry that are bytes from where its run begins; above: the run                    \
             */

/* What a vector of outputs begins with; n entries follow, from the deepest groups to those of one block,
 * then from weights on (bytes from here) their weights. */
struct dot_split {
        uint32_t groups[DOT_SPLIT_DEPTH]; /* of 1, 2, ... blocks */
        uint32_t n, weights, bytes, unused;
        uint32_t entries[];
};

/* Of all vectors: a table of where each begins (uint64_t, bytes from the table) and what it says. */
size_t dot_split_bytes(const struct dot_conv *conv, const struct dot_shape *s, const int8_t *weights);
void dot_split_pack(const struct dot_conv *conv, const struct dot_shape *s, const int8_t *weights,
                    unsigned char *target);

/* Of scratch: an offset for each run and for the most entries that a vector can have. */
size_t dot_split_extra_bytes(const struct dot_shape *s);
