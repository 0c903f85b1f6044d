/*
 * dot_tile: native/dot for AVX-512. A tile of pixels x 32 outputs stays in registers over the whole window;
 * each block of a pixel's inputs is broadcast and meets two vectors of weights. Included by dot_vnni.c and
 * dot_bf16.c, which define DOT_TYPE.
 *
 * Pixels come as one or two rows of up to seven neighbours: a map of 7x7 or 14x14, late in most networks,
 * fills the tiles, and seven addresses need only three registers besides the first.
 *
 * Weights lie as [panel of two vectors, run, block, vector, lane, element of the block].
 */
#include <string.h>

#include "engine/native/activate.inc.h"
#include "engine/native/dot_internal.h"

#define SEGMENT 7
#define PANEL   2

/* By name: gcc copies the operand of its intrinsics that is written over, and runs out of registers. */
#if DOT_TYPE == 0
typedef __m512i vsum;

/* As assembly: GCC 12 gives the intrinsic's result another register than its sum, and spills half of the
 * sums. */
INLINE vsum sum_of(vsum sum, __m512i inputs, __m512i weights) {
        __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(inputs), "v"(weights));
        return sum;
}
INLINE vsum sum_begin(const int32_t *head) {
        return head ? _mm512_loadu_si512(head) : _mm512_setzero_si512();
}
INLINE vfloat sum_float(vsum sum) {
        return _mm512_cvtepi32_ps(sum);
}
#else
typedef __m512 vsum;

INLINE vsum sum_of(vsum sum, __m512i inputs, __m512i weights) {
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(inputs), "v"(weights));
        return sum;
}
INLINE vsum sum_begin(const int32_t *head) {
        (void)head;
        return _mm512_setzero_ps();
}
INLINE vfloat sum_float(vsum sum) {
        return sum;
}
#endif

#include "engine/native/dot_results.inc.h"

/* ---- tiles ---- */

struct panel {
        const unsigned char *weights;
        const unsigned char *next; /* to be fetched, next_step bytes for each block */
        size_t next_step;
        const int32_t *head;
        size_t rows, columns, blocks; /* of runs; in a run */
        size_t row, column, step;     /* bytes */
        size_t input;                 /* bytes from a pixel's first channel */
        __m512i spread, spread_step;  /* which part of what is loaded each lane gets of the first block */
        struct results results;
};

INLINE __m512i spread_index(const struct dot_shape *s) {
        size_t width = s->group_outputs, parts = s->group_inputs * s->element / DOT_BLOCK;
        int32_t index[LANES];

        for (size_t lane = 0; lane < LANES; lane++)
                index[lane] = (int32_t)(lane / width * parts);
        return _mm512_loadu_si512(index);
}

INLINE __m512i broadcast(const unsigned char *p) {
        int32_t block;

        memcpy(&block, p, sizeof(block));
        return _mm512_set1_epi32(block);
}

INLINE void tile(const struct panel *p, const struct dot_tile *t, const int n, const int halves,
                 const int vectors, const bool spread) {
        vsum sums[2 * SEGMENT][PANEL];
        const unsigned char *weights = p->weights, *next = p->next;
        size_t step = p->step, next_step = p->next_step, blocks = p->blocks;

        UNROLL
        for (int v = 0; v < vectors; v++) {
                vsum begin = sum_begin(p->head ? p->head + v * LANES : NULL);

                UNROLL
                for (int i = 0; i < n * halves; i++)
                        sums[i][v] = begin;
        }
        for (size_t y = 0; y < p->rows; y++)
                for (size_t x = 0; x < p->columns; x++) {
                        size_t offset = p->input + y * p->row + x * p->column;
                        const unsigned char *a = t->src[0] + offset, *b = t->src[1] + offset;
                        __m512i index = p->spread;

                        for (size_t k = 0; k < blocks; k++) {
                                __m512i w[PANEL];

                                UNROLL
                                for (int v = 0; v < vectors; v++)
                                        w[v] = _mm512_loadu_si512(weights + (size_t)v * DOT_LINE);
                                weights += (size_t)vectors * DOT_LINE;
                                _mm_prefetch((const char *)next, _MM_HINT_T0);
                                next += next_step;
                                UNROLL
                                for (int i = 0; i < n * halves; i++) {
                                        const unsigned char *at = (i < n ? a : b) + (size_t)(i % n) * step;
                                        __m512i inputs = spread ? _mm512_permutexvar_epi32(
                                                                          index, _mm512_loadu_si512(at))
                                                                : broadcast(at);

                                        UNROLL
                                        for (int v = 0; v < vectors; v++)
                                                sums[i][v] = sum_of(sums[i][v], inputs, w[v]);
                                }
                                if (spread)
                                        index = _mm512_add_epi32(index, _mm512_set1_epi32(1));
                                else {
                                        a += DOT_BLOCK;
                                        b += DOT_BLOCK;
                                }
                        }
                }

        if (p->results.plain && p->results.conv->epilogue.sum) {
                UNROLL
                for (int i = 0; i < n * halves; i++) {
                        UNROLL
                        for (int v = 0; v < vectors; v++)
                                store_plain(&p->results, sums[i][v], t->pixel[i / n] + (size_t)(i % n), v,
                                            true);
                }
        } else if (p->results.plain) {
                UNROLL
                for (int i = 0; i < n * halves; i++) {
                        UNROLL
                        for (int v = 0; v < vectors; v++)
                                store_plain(&p->results, sums[i][v], t->pixel[i / n] + (size_t)(i % n), v,
                                            false);
                }
        } else {
                float rows[2 * SEGMENT][PANEL * LANES];

                UNROLL
                for (int i = 0; i < n * halves; i++) {
                        UNROLL
                        for (int v = 0; v < vectors; v++)
                                v_store(rows[i] + v * LANES, v_fma(sum_float(sums[i][v]),
                                                                   p->results.scale[v], p->results.bias[v]));
                }
                for (int i = 0; i < n * halves; i++)
                        finish_row(&p->results, rows[i], t->pixel[i / n] + (size_t)(i % n), vectors);
        }
}

#define TILE_CASE(n)                                                                                        \
        case n:                                                                                             \
                if (spread && t->halves == 2)                                                               \
                        tile(p, t, n, 2, 1, true);                                                          \
                else if (spread)                                                                            \
                        tile(p, t, n, 1, 1, true);                                                          \
                else if (vectors == 2 && t->halves == 2)                                                    \
                        tile(p, t, n, 2, 2, false);                                                         \
                else if (vectors == 2)                                                                      \
                        tile(p, t, n, 1, 2, false);                                                         \
                else if (t->halves == 2)                                                                    \
                        tile(p, t, n, 2, 1, false);                                                         \
                else                                                                                        \
                        tile(p, t, n, 1, 1, false);                                                         \
                break;

static void tile_of(const struct panel *p, const struct dot_tile *t, size_t vectors, bool spread) {
        switch (t->n) {
                TILE_CASE(1)
                TILE_CASE(2)
                TILE_CASE(3)
                TILE_CASE(4)
                TILE_CASE(5)
                TILE_CASE(6)
                TILE_CASE(7)
        }
}

static void panels(const struct dot_conv *conv, const struct dot_shape *s, const struct dot_data *data,
                   const struct dot_band *band, size_t first, size_t last) {
        size_t blocks = s->run_rows * s->run_columns * s->blocks, per_set = (s->vectors + 1) / PANEL;
        size_t head_bytes = dot_head_bytes(conv, s);
        const unsigned char *weights = (const unsigned char *)data->weights + head_bytes;
        struct panel p = {.rows = s->run_rows,
                          .columns = s->run_columns,
                          .blocks = s->blocks,
                          .row = band->row,
                          .column = band->column,
                          .step = band->step,
                          .spread = spread_index(s)};

        results_begin(&p.results, conv, data);
        for (size_t i = first; i < last; i++) {
                size_t within = i % per_set * PANEL, vector = i / per_set * s->vectors + within,
                       n = s->vectors - within < PANEL ? 1 : PANEL, lanes,
                       output = dot_vector_output(s, conv->outputs, vector, &lanes);

                if (n == PANEL) {
                        dot_vector_output(s, conv->outputs, vector + 1, &lanes);
                        lanes += LANES;
                }
                p.weights = weights + vector * blocks * DOT_LINE;
                p.head = head_bytes > 0 ? (const int32_t *)data->weights + vector * LANES : NULL;
                p.input = dot_vector_input(s, vector) * s->element;
                results_panel(&p.results, output, lanes);
                for (size_t j = 0; j < band->n_tiles; j++) {
                        /* Weights may come from the third cache or from memory: the first two tiles fetch
                         * those that the next outputs need, half each. */
                        p.next = j < PANEL ? p.weights + (n + j) * blocks * DOT_LINE : p.weights;
                        p.next_step = j < PANEL ? DOT_LINE : 0;
                        tile_of(&p, &band->tiles[j], n, s->spread);
                }
        }
}
