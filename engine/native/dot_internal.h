#pragma once
/* dot_internal: what the packer of native/dot and its kernels of each instruction set share. */
#include "engine/native/dot.h"

#define DOT_BLOCK 4u /* bytes of a pixel that meet one instruction: 4 of uint8, 2 of bfloat16 */
#define DOT_LINE  64u

/* How a conv's weights lie. A run is what lies side by side in the inputs: the channels of one tap or, where
 * the window's columns are neighbours, those of a whole row of the window. */
struct dot_shape {
        size_t element; /* bytes */
        size_t lanes;   /* outputs in a vector */
        size_t group_inputs, group_outputs;
        bool spread;                  /* several groups in a vector */
        size_t sets, vectors;         /* groups, or vectors where spread; vectors in each */
        size_t run_rows, run_columns; /* runs in a window */
        size_t channels;              /* of a pixel in a run, with those that are 0 */
        size_t run, blocks;           /* elements, and DOT_BLOCKs, of a run */
};

struct dot_shape dot_shape_of(const struct dot_conv *conv);

/* The first channel that vector reads. */
static inline size_t dot_vector_input(const struct dot_shape *s, size_t vector) {
        size_t group = s->spread ? vector * (s->lanes / s->group_outputs) : vector / s->vectors;

        return group * s->group_inputs;
}

/* The first output that vector makes, of *ret_n. */
static inline size_t dot_vector_output(const struct dot_shape *s, size_t outputs, size_t vector,
                                       size_t *ret_n) {
        size_t first = vector * s->lanes, end = outputs;

        if (!s->spread) {
                size_t group = vector / s->vectors * s->group_outputs;

                first = group + vector % s->vectors * s->lanes;
                end = group + s->group_outputs;
        }
        *ret_n = end - first < s->lanes ? end - first : s->lanes;
        return first;
}

/* Bytes of packed weights before those of the vectors: int32 [vectors, lanes], what each output's sum begins
 * with. */
size_t dot_head_bytes(const struct dot_conv *conv, const struct dot_shape *s);

/* Writes them for lanes of s. */
void dot_pack_head(const struct dot_conv *conv, const struct dot_shape *s, const int8_t *weights,
                   int32_t *head);

/* Where element e of a run finds its weight among those [I / G, kh, kw] of an output; false: it is 0. */
bool dot_weight_index(const struct dot_conv *conv, const struct dot_shape *s, size_t row, size_t column,
                      size_t e, size_t *ret_index);

/* Outputs' pixels that are computed together: n in a row, or twice n. */
struct dot_tile {
        const unsigned char *src[2]; /* what the first of each n reads first */
        size_t pixel[2];             /* where it is among all of the destination */
        unsigned n, halves;
};

/* Some tiles, and how their inputs lie: bytes from one to the next. */
struct dot_band {
        const struct dot_tile *tiles;
        size_t n_tiles;
        size_t step;        /* of outputs' pixels */
        size_t row, column; /* of the window's rows and columns */
        void *extra;        /* the thread's own dot_code.extra_bytes */
};

/* All tiles of a band with panels first to last of the weights. */
typedef void dot_panels(const struct dot_conv *conv, const struct dot_shape *s, const struct dot_data *data,
                        const struct dot_band *band, size_t first, size_t last);

dot_panels dot_panels_vnni, dot_panels_bf16, dot_panels_avx2;

/* Code for one instruction set. */
struct dot_code {
        const char *isa;
        dot_panels *panels;
        size_t lanes;   /* outputs in a vector */
        size_t panel;   /* vectors in a panel, at most */
        size_t segment; /* pixels that a tile takes from one row, at most */
        size_t halves;
        size_t (*extra_bytes)(const struct dot_shape *s); /* of scratch, for each thread */
};

/* Bytes of scratch that a thread needs for a conv that is settled but for these. */
size_t dot_frame_bytes(const struct dot_conv *conv, const struct dot_shape *s, const struct dot_code *code);

/* The part that one of several threads does. */
void dot_frame_run(const struct dot_conv *conv, const struct dot_data *data, const struct dot_code *code,
                   size_t thread, size_t n_threads);
