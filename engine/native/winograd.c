#include "engine/native/winograd.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "engine/team.h"

/* What the transformed tiles of a block may take, so that they stay in a second-level cache beside a panel
 * of results: that of the CPUs at hand has 512 KiB to 2 MiB a core. */
#define BLOCK_BYTES ((size_t)512 << 10)

/* Each block reads all weights once, from the third level or from memory: fewer tiles wait for them, and
 * more gain nothing (measured from 14 to 84 tiles, 64 to 512 channels). */
#define BLOCK_MIN_TILES 28u
#define BLOCK_MAX_TILES 42u

#define LINE_FLOATS     16u /* in a cache line */
#define MAX_LANES       16u

static const float zeros[MAX_LANES];

static size_t points_of(unsigned m) {
        return (m + 2) * (m + 2);
}

/* Elements from one tile's channels to the next's. One vector more than there are: strides that are powers
 * of two would put all rows into the same few sets of the first-level cache. */
static size_t tile_stride(const struct winograd *w) {
        size_t lanes = w->native->lanes;

        return (w->channels + lanes - 1) / lanes * lanes + lanes;
}

static size_t tiles_across(const struct winograd *w) {
        return (w->out_width + w->m - 1) / w->m;
}

static size_t tiles_of_image(const struct winograd *w) {
        return (w->out_height + w->m - 1) / w->m * tiles_across(w);
}

static size_t n_panels(const struct winograd *w) {
        return (w->outputs + w->native->gemm_columns - 1) / w->native->gemm_columns;
}

void winograd_settle(struct winograd *w) {
        size_t rows = w->native->gemm_rows, tiles = w->images * tiles_of_image(w), n_blocks;
        size_t fit = BLOCK_BYTES / (points_of(w->m) * tile_stride(w) * sizeof(float));

        /* Whole tiles of the product's registers, and as many blocks as keep all threads equally busy. */
        fit = MIN(MAX(fit, BLOCK_MIN_TILES), BLOCK_MAX_TILES);
        fit = (fit + rows - 1) / rows * rows;
        n_blocks = (tiles + fit - 1) / fit;
        if (n_blocks > 1)
                n_blocks = (n_blocks + w->threads - 1) / w->threads * w->threads;
        w->block_tiles = (tiles + n_blocks - 1) / n_blocks;
}

/* One block of tiles; in a team, the tiles and then the panels of one block are shared. */
struct block {
        float *tiles;    /* [point][tile][channel] */
        float *products; /* [point][tile][output in a panel], each thread's own */
};

static size_t tiles_elements(const struct winograd *w) {
        return points_of(w->m) * w->block_tiles * tile_stride(w);
}

static size_t products_elements(const struct winograd *w) {
        return points_of(w->m) * w->block_tiles * w->native->gemm_columns;
}

size_t winograd_scratch_bytes(const struct winograd *w) {
        return w->threads * (tiles_elements(w) + products_elements(w)) * sizeof(float);
}

size_t winograd_weights_bytes(const struct native *native, unsigned m, size_t channels, size_t outputs) {
        size_t panels = (outputs + native->gemm_columns - 1) / native->gemm_columns;

        return panels * points_of(m) * channels * native->gemm_columns * sizeof(float);
}

/* G of F(m, 3), rows of three. */
static const double matrix_2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double matrix_4[6][3] = {
        {1. / 4, 0, 0},
        {-1. / 6, -1. / 6, -1. / 6},
        {-1. / 6, 1. / 6, -1. / 6},
        {1. / 24, 1. / 12, 1. / 6},
        {1. / 24, -1. / 12, 1. / 6},
        {0, 0, 1},
};

void winograd_pack(const struct native *native, unsigned m, size_t channels, size_t first, size_t n,
                   const float *weights, float *target) {
        const double(*g)[3] = m == 2 ? matrix_2 : matrix_4;
        size_t points = points_of(m), edge = m + 2, columns = native->gemm_columns;

        for (size_t o = first; o < first + n; o++)
                for (size_t c = 0; c < channels; c++, weights += 9) {
                        float *u = target + o / columns * points * channels * columns + c * columns +
                                   o % columns;
                        double half[6][3];

                        for (size_t i = 0; i < edge; i++)
                                for (size_t k = 0; k < 3; k++)
                                        half[i][k] = g[i][0] * (double)weights[k] +
                                                     g[i][1] * (double)weights[3 + k] +
                                                     g[i][2] * (double)weights[6 + k];
                        for (size_t i = 0; i < edge; i++)
                                for (size_t j = 0; j < edge; j++)
                                        u[(i * edge + j) * channels * columns] =
                                                (float)(half[i][0] * g[j][0] + half[i][1] * g[j][1] +
                                                        half[i][2] * g[j][2]);
                }
}

/* The place of a tile among the images. */
struct place {
        size_t image, row, column; /* first pixel of the result */
};

static struct place place_of(const struct winograd *w, size_t tile) {
        size_t image = tile / tiles_of_image(w), rest = tile % tiles_of_image(w), across = tiles_across(w);

        return (struct place){image, rest / across * w->m, rest % across * w->m};
}

static void tile_gather(const struct winograd *w, const float *src, size_t tile, float *v) {
        struct place place = place_of(w, tile);
        size_t edge = w->m + 2;
        struct winograd_source source;

        src += place.image * w->src.image;
        for (size_t i = 0; i < edge; i++)
                for (size_t j = 0; j < edge; j++) {
                        /* Negative positions, in the padding, wrap to large ones. */
                        size_t y = place.row + i - w->pad_top, x = place.column + j - w->pad_left;
                        bool inside = y < w->height && x < w->width;

                        source.pixels[i * edge + j] =
                                inside ? src + y * w->src.row + x * w->src.pixel : zeros;
                        source.steps[i * edge + j] = inside ? w->src.step : 0;
                }
        w->native->winograd_gather[w->m / 4](&source, 0, w->channels, v, w->block_tiles * tile_stride(w));
}

static void tile_scatter(const struct winograd *w, const float *products, const float *bias, float *dst,
                         size_t tile, size_t panel) {
        struct place place = place_of(w, tile);
        size_t columns = w->native->gemm_columns, lanes = w->native->lanes;
        size_t channels = MIN(w->outputs - panel * columns, columns);
        struct winograd_target target = {
                .pixels = dst + place.image * w->dst.image + place.row * w->dst.row +
                          place.column * w->dst.pixel + panel * (columns / lanes) * w->dst.step,
                .row_stride = w->dst.row,
                .pixel_stride = w->dst.pixel,
                .step = w->dst.step,
                .rows = MIN(w->out_height - place.row, w->m),
                .columns = MIN(w->out_width - place.column, w->m),
                .channels = channels,
                .bias = bias ? bias + panel * columns : NULL,
                .sum = w->sum,
                .low = w->low,
                .high = w->high,
        };

        w->native->winograd_scatter[w->m / 4](products, w->block_tiles * columns,
                                              (channels + lanes - 1) / lanes, &target);
}

/* The products of one panel of outputs for n_tiles tiles, at all points. */
static void multiply(const struct winograd *w, const struct block *block, size_t n_tiles,
                     const float *weights) {
        size_t columns = w->native->gemm_columns, stride = tile_stride(w);
        size_t n_chunks = (n_tiles + w->native->gemm_rows - 1) / w->native->gemm_rows;
        struct gemm_left left = {.stride = stride, .n_blocks = 1, .block = w->channels};
        struct gemm_result result = {
                .stride = columns,
                .step = w->native->lanes,
                .columns = columns,
                .low = -INFINITY,
                .high = INFINITY,
        };

        for (size_t point = 0; point < points_of(w->m); point++) {
                const float *tiles = block->tiles + point * w->block_tiles * stride;
                float *products = block->products + point * w->block_tiles * columns;

                for (size_t chunk = 0; chunk < n_chunks; chunk++) {
                        size_t begin, end;

                        team_share(n_tiles, chunk, n_chunks, &begin, &end);
                        left.at = tiles + begin * stride;
                        left.next = weights + w->channels * columns + chunk % 2 * w->channels * LINE_FLOATS;
                        result.at = products + begin * columns;
                        w->native->gemm(end - begin, &left, weights, &result);
                }
                weights += w->channels * columns;
        }
}

struct job {
        const struct winograd *winograd;
        const float *src, *weights, *bias;
        float *dst, *scratch;
};

static void run_panels(const struct job *job, const struct block *block, size_t first_tile, size_t n_tiles,
                       size_t first_panel, size_t last_panel) {
        const struct winograd *w = job->winograd;
        size_t columns = w->native->gemm_columns;

        for (size_t panel = first_panel; panel < last_panel; panel++) {
                multiply(w, block, n_tiles, job->weights + panel * points_of(w->m) * w->channels * columns);
                for (size_t i = 0; i < n_tiles; i++)
                        tile_scatter(w, block->products + i * columns, job->bias, job->dst, first_tile + i,
                                     panel);
        }
}

/* Each thread has blocks of its own. */
static void run_blocks(void *argument, size_t thread, size_t n_threads) {
        const struct job *job = argument;
        const struct winograd *w = job->winograd;
        size_t n_tiles = w->images * tiles_of_image(w);
        size_t n_blocks = (n_tiles + w->block_tiles - 1) / w->block_tiles, begin, end;
        struct block block;

        block.tiles = job->scratch + thread * (tiles_elements(w) + products_elements(w));
        block.products = block.tiles + tiles_elements(w);
        team_share(n_blocks, thread, n_threads, &begin, &end);
        for (size_t b = begin; b < end; b++) {
                size_t first = b * w->block_tiles, n = MIN(n_tiles - first, w->block_tiles);

                for (size_t i = 0; i < n; i++)
                        tile_gather(w, job->src, first + i, block.tiles + i * tile_stride(w));
                run_panels(job, &block, first, n, 0, n_panels(w));
        }
}

/* One block for all threads: they share its tiles, then its panels. */
static void run_together(void *argument, size_t thread, size_t n_threads) {
        const struct job *job = argument;
        const struct winograd *w = job->winograd;
        size_t n_tiles = w->images * tiles_of_image(w), begin, end;
        struct block block;

        block.tiles = job->scratch;
        block.products = job->scratch + tiles_elements(w) + thread * products_elements(w);
        team_share(n_tiles, thread, n_threads, &begin, &end);
        for (size_t i = begin; i < end; i++)
                tile_gather(w, job->src, i, block.tiles + i * tile_stride(w));
        team_barrier(n_threads);
        team_share(n_panels(w), thread, n_threads, &begin, &end);
        run_panels(job, &block, 0, n_tiles, begin, end);
}

void winograd_run(const struct winograd *w, const float *src, const float *weights, const float *bias,
                  float *dst, float *scratch) {
        struct job job = {w, src, weights, bias, dst, scratch};
        bool one_block = w->block_tiles >= w->images * tiles_of_image(w);

        team_run(w->threads, one_block ? run_together : run_blocks, &job);
}
