/* native/dot on uint8 and int8 for AVX2, with whose flags this is compiled: exact by the form of its weights
 * (dot_split.h). A tile is up to eight pixels of one vector of outputs. */
#define PANEL 1

#include <string.h>

#include "engine/native/dot_split.h"

#include "engine/native/dot_avx2.inc.h"

#define PIXELS 8

struct panel {
        const struct dot_split *split;
        const uint32_t *offsets; /* of its entries */
        ptrdiff_t next;          /* bytes to the weights that are to be fetched */
        const int32_t *head;
        size_t step, input; /* bytes */
        uint8_t low;        /* least of a plain result */
        struct results results;
};

INLINE __m256i broadcast(const unsigned char *p) {
        int32_t block;

        memcpy(&block, p, sizeof(block));
        return _mm256_set1_epi32(block);
}

/* All groups of depth blocks. */
INLINE void groups(const struct panel *p, const unsigned char *src, const int n, const int depth,
                   const uint32_t **offsets, const unsigned char **weights, vsum *sums) {
        size_t step = p->step;
        __m256i ones = _mm256_set1_epi16(1);

        for (uint32_t g = p->split->groups[depth - 1]; g > 0; g--) {
                const unsigned char *at[DOT_SPLIT_DEPTH];
                __m256i w[DOT_SPLIT_DEPTH];

                UNROLL
                for (int d = 0; d < depth; d++) {
                        at[d] = src + (*offsets)[d];
                        w[d] = _mm256_loadu_si256((const __m256i *)(*weights + d * 32));
                }
                _mm_prefetch((const char *)*weights + p->next, _MM_HINT_T0);
                if (depth > 2)
                        _mm_prefetch((const char *)*weights + p->next + 64, _MM_HINT_T0);
                *offsets += depth;
                *weights += depth * 32;
                UNROLL
                for (int i = 0; i < n; i++) {
                        __m256i sum = _mm256_maddubs_epi16(broadcast(at[0] + (size_t)i * step), w[0]);

                        UNROLL
                        for (int d = 1; d < depth; d++)
                                sum = _mm256_add_epi16(
                                        sum,
                                        _mm256_maddubs_epi16(broadcast(at[d] + (size_t)i * step), w[d]));
                        sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(sum, ones));
                }
        }
}

/* What store_plain() does, of four pixels and whole vectors: packed together, bounded by uint8 itself and by
 * one comparison of bytes. */
INLINE void store_four(const struct panel *p, const vsum *sums, size_t pixel, const bool add) {
        const struct results *r = &p->results;
        const struct dot_conv *c = r->conv;
        unsigned char *dst = (unsigned char *)r->data->dst + pixel * c->dst_pixel + r->output;
        const unsigned char *other = (const unsigned char *)r->data->sum + pixel * c->sum_pixel + r->output;
        __m256i steps[4], words[2], bytes, zero = _mm256_set1_epi16((int16_t)c->dst_zero);
        __m128i half;

        UNROLL
        for (int i = 0; i < 4; i++) {
                vfloat y = v_fma(sum_float(sums[i]), r->scale[0], r->bias[0]);

                if (add)
                        y = v_fma(load_u8(other + (size_t)i * c->sum_pixel, v_mask(LANES)),
                                  v_set(r->sum_scale), y);
                steps[i] = _mm256_cvtps_epi32(v_min(v_set(r->high), y));
        }
        words[0] = _mm256_adds_epi16(_mm256_packs_epi32(steps[0], steps[1]), zero);
        words[1] = _mm256_adds_epi16(_mm256_packs_epi32(steps[2], steps[3]), zero);
        bytes = _mm256_max_epu8(_mm256_packus_epi16(words[0], words[1]), _mm256_set1_epi8((char)p->low));
        /* Packing went by halves of 16 bytes. */
        bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        half = _mm256_castsi256_si128(bytes);
        _mm_storel_epi64((__m128i *)dst, half);
        _mm_storeh_pd((double *)(dst + c->dst_pixel), _mm_castsi128_pd(half));
        half = _mm256_extracti128_si256(bytes, 1);
        _mm_storel_epi64((__m128i *)(dst + 2 * c->dst_pixel), half);
        _mm_storeh_pd((double *)(dst + 3 * c->dst_pixel), _mm_castsi128_pd(half));
}

INLINE void store_tile(const struct panel *p, const vsum *sums, size_t pixel, const int n, const bool add) {
        const bool whole = p->results.mask[0].n >= LANES;

        if (whole) {
                UNROLL
                for (int i = 0; i + 4 <= n; i += 4)
                        store_four(p, sums + i, pixel + (size_t)i, add);
        }
        UNROLL
        for (int i = 0; i < n; i++)
                if (!whole || i >= n / 4 * 4)
                        store_plain(&p->results, sums[i], pixel + (size_t)i, 0, add);
}

INLINE void tile(const struct panel *p, const struct dot_tile *t, const int n) {
        const unsigned char *src = t->src[0] + p->input;
        const unsigned char *weights = (const unsigned char *)p->split + p->split->weights;
        const uint32_t *offsets = p->offsets;
        vsum sums[PIXELS];

        UNROLL
        for (int i = 0; i < n; i++)
                sums[i] = _mm256_loadu_si256((const __m256i *)p->head);
        groups(p, src, n, 4, &offsets, &weights, sums);
        groups(p, src, n, 3, &offsets, &weights, sums);
        groups(p, src, n, 2, &offsets, &weights, sums);
        groups(p, src, n, 1, &offsets, &weights, sums);
        if (p->results.plain && p->results.conv->epilogue.sum)
                store_tile(p, sums, t->pixel[0], n, true);
        else if (p->results.plain)
                store_tile(p, sums, t->pixel[0], n, false);
        else {
                float rows[PIXELS][LANES];

                UNROLL
                for (int i = 0; i < n; i++)
                        v_store(rows[i], v_fma(sum_float(sums[i]), p->results.scale[0], p->results.bias[0]));
                for (int i = 0; i < n; i++)
                        finish_row(&p->results, rows[i], t->pixel[0] + (size_t)i, 1);
        }
}

#define TILE_CASE(n)                                                                                        \
        case n:                                                                                             \
                tile(p, t, n);                                                                              \
                break;

static void tile_of(const struct panel *p, const struct dot_tile *t) {
        switch (t->n) {
                TILE_CASE(1)
                TILE_CASE(2)
                TILE_CASE(3)
                TILE_CASE(4)
                TILE_CASE(5)
                TILE_CASE(6)
                TILE_CASE(7)
                TILE_CASE(8)
        }
}

void dot_panels_avx2(const struct dot_conv *conv, const struct dot_shape *s, const struct dot_data *data,
                     const struct dot_band *band, size_t first, size_t last) {
        const unsigned char *table = (const unsigned char *)data->weights + dot_head_bytes(conv, s);
        size_t n_runs = s->run_rows * s->run_columns;
        uint32_t *runs = band->extra, *offsets = runs + n_runs;
        struct panel p = {.step = band->step, .offsets = offsets};

        for (size_t i = 0; i < n_runs; i++)
                runs[i] = (uint32_t)(i / s->run_columns * band->row + i % s->run_columns * band->column);
        results_begin(&p.results, conv, data);
        if (p.results.plain)
                p.low = (uint8_t)((int32_t)rintf(p.results.low) + conv->dst_zero);
        for (size_t v = first; v < last; v++) {
                size_t lanes, output = dot_vector_output(s, conv->outputs, v, &lanes);

                p.split = (const struct dot_split *)(table + ((const uint64_t *)table)[v]);
                p.head = (const int32_t *)data->weights + v * LANES;
                p.input = dot_vector_input(s, v);
                for (uint32_t i = 0; i < p.split->n; i++) {
                        uint32_t entry = p.split->entries[i];

                        offsets[i] =
                                runs[entry >> DOT_SPLIT_OFFSET] + (entry & ((1u << DOT_SPLIT_OFFSET) - 1));
                }
                results_panel(&p.results, output, lanes);
                for (size_t j = 0; j < band->n_tiles; j++) {
                        /* The first tile fetches what the next outputs need. */
                        p.next = j == 0 ? (ptrdiff_t)p.split->bytes : 0;
                        tile_of(&p, &band->tiles[j]);
                }
        }
}
