/* dot_winograd for AVX2, with whose flags this is compiled. */
#define PANEL 2

#include <string.h>

#include "base/macros.h"
#include "engine/native/dot_winograd.h"
#include "engine/team.h"

#include "engine/native/dot_avx2.inc.h"

#define POSITIONS 16
#define TILES     6

/* Where a tile of outputs is among those of all images. */
struct place {
        size_t image, y, x; /* its first row and column */
};

static struct place place_of(const struct dot_conv *c, size_t tile) {
        size_t columns = (c->out_width + 1) / 2, rows = (c->out_height + 1) / 2;

        return (struct place){
                .image = tile / (rows * columns), .y = tile / columns % rows * 2, .x = tile % columns * 2};
}

/* ---- inputs ---- */

/* B of F(2, 3). */
INLINE void transform(__m256i *d, const int stride) {
        __m256i a = d[0], b = d[stride], c = d[2 * stride], e = d[3 * stride];

        d[0] = _mm256_sub_epi16(a, c);
        d[stride] = _mm256_add_epi16(b, c);
        d[2 * stride] = _mm256_sub_epi16(c, b);
        d[3 * stride] = _mm256_sub_epi16(b, e);
}

/* padding: a pixel of it. */
static void tile_transform(const struct dot_conv *c, const unsigned char *src, const unsigned char *padding,
                           struct place place, int16_t *to) {
        size_t channels = dot_winograd_channels(c);
        const unsigned char *pixels[POSITIONS];

        for (int64_t i = 0; i < POSITIONS; i++) {
                int64_t y = (int64_t)place.y - c->window.pads_begin[0] + i / 4,
                        x = (int64_t)place.x - c->window.pads_begin[1] + i % 4;
                bool inside = y >= 0 && x >= 0 && y < (int64_t)c->height && x < (int64_t)c->width;

                pixels[i] = inside ? src + ((place.image * c->height + (size_t)y) * c->width + (size_t)x) *
                                                     c->src_pixel
                                   : padding;
        }
        for (size_t k = 0; k < channels; k += 16) {
                __m256i d[POSITIONS];

                UNROLL
                for (int i = 0; i < POSITIONS; i++)
                        d[i] = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(pixels[i] + k)));
                UNROLL
                for (int x = 0; x < 4; x++)
                        transform(d + x, 4);
                UNROLL
                for (int y = 0; y < 4; y++)
                        transform(d + 4 * y, 1);
                UNROLL
                for (int i = 0; i < POSITIONS; i++)
                        _mm256_store_si256((__m256i *)(to + (size_t)i * channels + k), d[i]);
        }
}

/* ---- products ---- */

INLINE __m256i broadcast(const int16_t *p) {
        int32_t pair;

        memcpy(&pair, p, sizeof(pair));
        return _mm256_set1_epi32(pair);
}

/* One position of n tiles that lie step apart: sums [tile, vector]. */
INLINE void products(const int16_t *inputs, size_t step, const int16_t *weights, size_t pairs, const int n,
                     __m256i (*ret_sums)[PANEL]) {
        __m256i sums[TILES][PANEL];

        UNROLL
        for (int i = 0; i < n; i++)
                sums[i][0] = sums[i][1] = _mm256_setzero_si256();
        for (size_t k = 0; k < pairs; k++, inputs += 2, weights += 32) {
                __m256i first = _mm256_load_si256((const __m256i *)weights),
                        second = _mm256_load_si256((const __m256i *)(weights + 16));

                UNROLL
                for (int i = 0; i < n; i++) {
                        __m256i pair = broadcast(inputs + (size_t)i * step);

                        sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(pair, first));
                        sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(pair, second));
                }
        }
        UNROLL
        for (int i = 0; i < n; i++) {
                ret_sums[i][0] = sums[i][0];
                ret_sums[i][1] = sums[i][1];
        }
}

#define PRODUCTS_CASE(n)                                                                                    \
        case n:                                                                                             \
                for (size_t p = 0; p < POSITIONS; p++)                                                      \
                        products(inputs + p * channels, step, weights + p * pairs * 32, pairs, n, sums[p]); \
                break;

static void all_products(const struct dot_conv *c, const int16_t *inputs, const int16_t *weights, size_t n,
                         __m256i (*sums)[TILES][PANEL]) {
        size_t step = dot_winograd_step(c), channels = dot_winograd_channels(c),
               pairs = dot_winograd_pairs(c);

        switch (n) {
                PRODUCTS_CASE(1)
                PRODUCTS_CASE(2)
                PRODUCTS_CASE(3)
                PRODUCTS_CASE(4)
                PRODUCTS_CASE(5)
                PRODUCTS_CASE(6)
        }
}

/* ---- results ---- */

/* A of F(2, 3), from the four of each column to two. */
INLINE void untransform(const __m256i m[4], __m256i *ret_first, __m256i *ret_second) {
        *ret_first = _mm256_add_epi32(_mm256_add_epi32(m[0], m[1]), m[2]);
        *ret_second = _mm256_sub_epi32(_mm256_sub_epi32(m[1], m[2]), m[3]);
}

/* [row, column] of a tile's results. */
INLINE void tile_sums(__m256i (*sums)[TILES][PANEL], size_t tile, const int v, __m256i head, __m256i y[4]) {
        __m256i rows[2][4];

        UNROLL
        for (int x = 0; x < 4; x++) {
                __m256i column[4];

                UNROLL
                for (int i = 0; i < 4; i++)
                        column[i] = sums[4 * i + x][tile][v];
                untransform(column, &rows[0][x], &rows[1][x]);
        }
        untransform(rows[0], &y[0], &y[1]);
        untransform(rows[1], &y[2], &y[3]);
        UNROLL
        for (int i = 0; i < 4; i++)
                y[i] = _mm256_add_epi32(_mm256_srai_epi32(y[i], 2), head);
}

INLINE void tile_finish(const struct results *r, __m256i (*sums)[TILES][PANEL], size_t tile,
                        struct place place, const int32_t *heads, const int vectors) {
        const struct dot_conv *c = r->conv;
        __m256i y[PANEL][4];

        UNROLL
        for (int v = 0; v < vectors; v++)
                tile_sums(sums, tile, v, _mm256_load_si256((const __m256i *)(heads + v * LANES)), y[v]);
        for (size_t i = 0; i < 4; i++) {
                size_t row = place.y + i / 2, column = place.x + i % 2,
                       pixel = (place.image * c->out_height + row) * c->out_width + column;

                if (row >= c->out_height || column >= c->out_width)
                        continue;
                if (r->plain && c->epilogue.sum) {
                        UNROLL
                        for (int v = 0; v < vectors; v++)
                                store_plain(r, y[v][i], pixel, v, true);
                } else if (r->plain) {
                        UNROLL
                        for (int v = 0; v < vectors; v++)
                                store_plain(r, y[v][i], pixel, v, false);
                } else {
                        float of_row[PANEL * LANES];

                        UNROLL
                        for (int v = 0; v < vectors; v++)
                                v_store(of_row + v * LANES,
                                        v_fma(sum_float(y[v][i]), r->scale[v], r->bias[v]));
                        finish_row(r, of_row, pixel, vectors);
                }
        }
}

/* ---- run ---- */

struct band {
        const int16_t *inputs;
        size_t first, n; /* tiles */
};

/* weights: of all panels. */
static void panel_run(struct results *r, const struct band *band, size_t panel, const int16_t *weights) {
        const struct dot_conv *c = r->conv;
        size_t output = panel * PANEL * LANES, outputs = MIN(c->outputs - output, PANEL * LANES),
               per_panel = POSITIONS * dot_winograd_pairs(c) * DOT_LINE / sizeof(int16_t),
               blocks = (band->n + TILES - 1) / TILES;
        const int32_t *heads = (const int32_t *)r->data->weights + output;
        __m256i sums[POSITIONS][TILES][PANEL];

        results_panel(r, output, outputs);
        for (size_t i = 0; i < blocks; i++) {
                size_t begin, end;

                team_share(band->n, i, blocks, &begin, &end);
                all_products(c, band->inputs + begin * dot_winograd_step(c), weights + panel * per_panel,
                             end - begin, sums);
                for (size_t tile = begin; tile < end; tile++) {
                        struct place place = place_of(c, band->first + tile);

                        if (outputs > LANES)
                                tile_finish(r, sums, tile - begin, place, heads, 2);
                        else
                                tile_finish(r, sums, tile - begin, place, heads, 1);
                }
        }
}

void dot_winograd_run_avx2(const struct dot_conv *conv, const struct dot_data *data, size_t thread,
                           size_t n_threads) {
        struct dot_shape shape = dot_shape_of(conv);
        unsigned char *scratch = (unsigned char *)data->scratch + thread * conv->thread_bytes;
        int16_t *inputs = (int16_t *)(scratch + dot_winograd_pixel_bytes(conv));
        const int16_t *weights =
                (const int16_t *)((const unsigned char *)data->weights + dot_head_bytes(conv, &shape));
        size_t tiles = conv->images * ((conv->out_height + 1) / 2) * ((conv->out_width + 1) / 2), tile = 0,
               panels = (conv->outputs + PANEL * LANES - 1) / (PANEL * LANES), panel = 0, bands;
        struct results results;

        /* Threads that share the weights read each of them once, and all transform the inputs. */
        if (tiles >= n_threads * dot_winograd_band(conv))
                team_share(tiles, thread, n_threads, &tile, &tiles);
        else
                team_share(panels, thread, n_threads, &panel, &panels);
        if (tile == tiles || panel == panels)
                return;
        memset(scratch, conv->src_zero, dot_winograd_pixel_bytes(conv));
        results_begin(&results, conv, data);
        bands = (tiles - tile + dot_winograd_band(conv) - 1) / dot_winograd_band(conv);
        for (size_t i = 0; i < bands; i++) {
                struct band band = {.inputs = inputs};
                size_t end;

                team_share(tiles - tile, i, bands, &band.first, &end);
                band.n = end - band.first;
                band.first += tile;
                for (size_t j = 0; j < band.n; j++)
                        tile_transform(conv, data->src, scratch, place_of(conv, band.first + j),
                                       inputs + j * dot_winograd_step(conv));
                for (size_t p = panel; p < panels; p++)
                        panel_run(&results, &band, p, weights);
        }
}
