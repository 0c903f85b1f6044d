/* dot_frame: what is the same for every instruction set: who does what, in which order, from a copy with
 * padding where there is a window. */
#include <string.h>

#include "base/macros.h"
#include "engine/native/dot_internal.h"
#include "engine/team.h"

static size_t divide_up(size_t n, size_t by) {
        return (n + by - 1) / by;
}

static size_t round_up(size_t n, size_t to) {
        return divide_up(n, to) * to;
}

/* ---- scratch: [tiles, extra, copy] ---- */

/* Rows and columns of inputs from the first to the last that n outputs need. */
static size_t reach(const struct kernel_window *w, size_t axis, size_t n) {
        return (n - 1) * w->strides[axis] + (w->kernel[axis] - 1) * w->dilations[axis] + 1;
}

static size_t tiles_bytes(const struct dot_conv *c, const struct dot_code *code) {
        size_t segments = c->flat ? divide_up(c->rows, code->segment)
                                  : c->rows * divide_up(c->out_width, code->segment);

        return round_up(segments * sizeof(struct dot_tile), DOT_LINE);
}

static size_t copy_bytes(const struct dot_conv *c) {
        size_t rows, images;

        if (!c->copied)
                return 0;
        if (c->flat)
                return c->rows * c->pitch;
        /* A band may begin and end within images. */
        images = MIN(c->images, (c->rows - 1) / c->out_height + 2);
        rows = (c->rows - 1) * c->window.strides[0] + images * reach(&c->window, 0, 1);
        return rows * reach(&c->window, 1, c->out_width) * c->pitch;
}

/* Copies are written, and read, by whole lines. */
size_t dot_frame_bytes(const struct dot_conv *conv, const struct dot_shape *s, const struct dot_code *code) {
        return tiles_bytes(conv, code) + round_up(code->extra_bytes(s), DOT_LINE) +
               (conv->copied ? round_up(copy_bytes(conv) + 2 * DOT_LINE, DOT_LINE) : 0);
}

/* ---- copies ---- */

static void copy_lines(unsigned char *to, const unsigned char *from, size_t bytes) {
        for (size_t i = 0; i < bytes; i += DOT_LINE)
                memcpy(to + i, from + i, DOT_LINE);
}

/* n pixels, side by side where they may be. */
static unsigned char *copy_pixels(const struct dot_conv *c, const struct dot_shape *s, unsigned char *to,
                                  const unsigned char *from, size_t n) {
        size_t bytes = c->inputs * s->element, pixel = c->src_pixel * s->element;

        if (c->pitch == bytes && pixel == bytes) {
                memcpy(to, from, n * bytes);
                return to + n * bytes;
        }
        for (size_t i = 0; i < n; i++, to += c->pitch, from += pixel) {
                copy_lines(to, from, bytes);
                if (s->channels * c->groups * s->element > bytes)
                        memset(to + bytes, 0, s->channels * c->groups * s->element - bytes);
        }
        return to;
}

static unsigned char *fill_pixels(const struct dot_conv *c, unsigned char *to, size_t n) {
        memset(to, c->type == DOT_U8S8 ? c->src_zero : 0, n * c->pitch);
        return to + n * c->pitch;
}

/* Rows of inputs for outputs' rows first to last of an image, with all padding. */
static unsigned char *copy_rows(const struct dot_conv *c, const struct dot_shape *s,
                                const struct dot_data *data, size_t image, size_t first, size_t last,
                                unsigned char *to) {
        const struct kernel_window *w = &c->window;
        int64_t top = (int64_t)(first * w->strides[0]) - w->pads_begin[0], left = -w->pads_begin[1];
        size_t rows = reach(w, 0, last - first), columns = reach(w, 1, c->out_width), before, n;
        size_t skip = left > 0 ? (size_t)left : 0;

        before = left < 0 ? MIN((size_t)-left, columns) : 0;
        n = skip < c->width ? MIN(columns - before, c->width - skip) : 0;
        for (int64_t y = top; y < top + (int64_t)rows; y++) {
                size_t row = image * c->height + (size_t)y;

                if (y < 0 || y >= (int64_t)c->height) {
                        to = fill_pixels(c, to, columns);
                        continue;
                }
                to = fill_pixels(c, to, before);
                to = copy_pixels(c, s, to,
                                 (const unsigned char *)data->src +
                                         (row * c->width + skip) * c->src_pixel * s->element,
                                 n);
                to = fill_pixels(c, to, columns - before - n);
        }
        return to;
}

/* ---- tiles ---- */

/* Adds those of a row of n pixels; the last of them may be left with half of what it could take. */
static struct dot_tile *add_row(const struct dot_code *code, struct dot_tile *first, struct dot_tile *end,
                                const unsigned char *src, size_t step, size_t pixel, size_t n) {
        size_t pieces = divide_up(n, code->segment);

        for (size_t i = 0; i < pieces; i++) {
                size_t begin, last;

                team_share(n, i, pieces, &begin, &last);
                if (end > first && end[-1].halves < code->halves && end[-1].n == last - begin) {
                        end[-1].src[1] = src + begin * step;
                        end[-1].pixel[1] = pixel + begin;
                        end[-1].halves = 2;
                } else
                        *end++ = (struct dot_tile){.src = {src + begin * step, src + begin * step},
                                                   .pixel = {pixel + begin, pixel + begin},
                                                   .n = (unsigned)(last - begin),
                                                   .halves = 1};
        }
        return end;
}

/* Pixels first to last of a conv without a window. */
static size_t flat_tiles(const struct dot_conv *c, const struct dot_shape *s, const struct dot_data *data,
                         const struct dot_code *code, size_t first, size_t last, struct dot_tile *tiles,
                         unsigned char *copy) {
        const unsigned char *src = (const unsigned char *)data->src + first * c->src_pixel * s->element;

        if (c->copied) {
                copy_pixels(c, s, copy, src, last - first);
                src = copy;
        }
        return (size_t)(add_row(code, tiles, tiles, src, c->pitch, first, last - first) - tiles);
}

/* Rows first to last of all images' outputs. */
static size_t window_tiles(const struct dot_conv *c, const struct dot_shape *s, const struct dot_data *data,
                           const struct dot_code *code, size_t first, size_t last, struct dot_tile *tiles,
                           unsigned char *copy) {
        size_t stride = c->window.strides[0], step = c->window.strides[1] * c->pitch;
        size_t columns = reach(&c->window, 1, c->out_width);
        struct dot_tile *end = tiles;

        while (first < last) {
                size_t image = first / c->out_height, y = first % c->out_height,
                       n = MIN(last - first, c->out_height - y);
                const unsigned char *src = copy;
                size_t row = columns * c->pitch;

                if (c->copied)
                        copy = copy_rows(c, s, data, image, y, y + n, copy);
                else {
                        row = c->width * c->pitch;
                        src = (const unsigned char *)data->src + (image * c->height + y * stride) * row;
                }
                for (size_t i = 0; i < n; i++)
                        end = add_row(code, tiles, end, src + i * stride * row, step,
                                      (first + i) * c->out_width, c->out_width);
                first += n;
        }
        return (size_t)(end - tiles);
}

/* ---- run ---- */

/* How much of its time a thread works where n pieces are divided. */
static double evenness(size_t n, size_t n_threads) {
        return (double)n / (double)(divide_up(n, n_threads) * n_threads);
}

/* Threads share the rows, or the panels of weights: what divides better; what is larger where both do. */
static bool shares_rows(const struct dot_conv *c, const struct dot_shape *s, size_t rows, size_t panels,
                        size_t segment, size_t n_threads) {
        size_t inputs = c->images * c->height * c->width * c->inputs,
               weights = c->outputs * s->group_inputs * c->window.kernel[0] * c->window.kernel[1];
        double by_rows = evenness(c->flat ? divide_up(rows, segment) : rows, n_threads),
               by_panels = evenness(panels, n_threads);

        return by_rows > by_panels || (by_rows >= by_panels && inputs > weights);
}

void dot_frame_run(const struct dot_conv *conv, const struct dot_data *data, const struct dot_code *code,
                   size_t thread, size_t n_threads) {
        const struct dot_conv *c = conv;
        struct dot_shape s = dot_shape_of(c);
        unsigned char *scratch = (unsigned char *)data->scratch + thread * c->thread_bytes;
        struct dot_tile *tiles = (struct dot_tile *)scratch;
        unsigned char *extra = scratch + tiles_bytes(c, code),
                      *copy = extra + round_up(code->extra_bytes(&s), DOT_LINE);
        struct dot_band band = {.tiles = tiles,
                                .step = c->window.strides[1] * c->pitch,
                                .row = c->window.dilations[0] * c->pitch *
                                       (c->copied ? reach(&c->window, 1, c->out_width) : c->width),
                                .column = c->window.dilations[1] * c->pitch,
                                .extra = extra};
        size_t n = c->images * c->out_height * (c->flat ? c->out_width : 1), from = 0, to = n, bands;
        size_t panels = s.sets * divide_up(s.vectors, code->panel), panel = 0, panel_end = panels;

        if (shares_rows(c, &s, n, panels, code->segment, n_threads))
                team_share(n, thread, n_threads, &from, &to);
        else
                team_share(panels, thread, n_threads, &panel, &panel_end);
        if (panel == panel_end)
                return;
        bands = divide_up(to - from, c->rows);
        for (size_t i = 0; i < bands; i++) {
                size_t begin, end;

                team_share(to - from, i, bands, &begin, &end);
                band.n_tiles = (c->flat ? flat_tiles : window_tiles)(c, &s, data, code, from + begin,
                                                                     from + end, tiles, copy);
                code->panels(c, &s, data, &band, panel, panel_end);
        }
}
