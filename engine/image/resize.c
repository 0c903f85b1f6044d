#include "engine/image/resize.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Two orders of the passes, through the same two buffers:
 *   horizontal first:  row -> strip -> horizontal pass -> ring -> vertical pass -> output
 *   vertical first:    row -> ring -> vertical pass -> strip -> horizontal pass -> output
 */
struct resizer {
        const struct kernels *kernels;
        struct weights x, y;
        bool vertical_first;

        struct buffer strip; /* KERNELS_ROWS rows on their way into the horizontal pass: [x->in, 3] */
        size_t strip_stride_bytes, n_strip;

        /* Rows on their way into the vertical pass; row i lies in slot i % n_ring. */
        struct buffer ring;
        size_t ring_stride_bytes, n_ring, ring_end;
        struct buffer taps; /* pointers to the rows of one output row */

        struct buffer staged; /* rows out of a horizontal pass that comes last: it writes past their ends */
        size_t staged_stride_bytes;

        size_t n_rows;            /* input rows committed */
        size_t n_vertical, n_out; /* rows out of the vertical pass, and in the output */
        unsigned char *output;
        size_t stride_bytes;
};

int resizer_new(struct resizer **ret_resizer, const struct kernels *kernels, struct error *error) {
        struct resizer *resizer = calloc(1, sizeof(*resizer));

        if (!resizer)
                return error_no_memory(error);
        resizer->kernels = kernels ? kernels : kernels_best();
        *ret_resizer = resizer;
        return 0;
}

void resizer_free(struct resizer *resizer) {
        if (!resizer)
                return;
        weights_release(&resizer->x);
        weights_release(&resizer->y);
        buffer_release(&resizer->strip);
        buffer_release(&resizer->ring);
        buffer_release(&resizer->taps);
        buffer_release(&resizer->staged);
        free(resizer);
}

void resizer_trim(struct resizer *resizer, size_t max_bytes) {
        buffer_trim(&resizer->x.memory, max_bytes);
        buffer_trim(&resizer->y.memory, max_bytes);
        buffer_trim(&resizer->strip, max_bytes);
        buffer_trim(&resizer->ring, max_bytes);
        buffer_trim(&resizer->taps, max_bytes);
        buffer_trim(&resizer->staged, max_bytes);
}

/* Rounding between the passes makes their order matter to the bit. This is the rule of Pillow 13
 * (ImagingResampleInner in src/libImaging/Resample.c: the height loses more than twice the pixels that the
 * width loses); up to 12 the horizontal pass was always the first. */
static bool is_vertical_first(const struct weights_axis *x, const struct weights_axis *y) {
        return y->in > y->out && (double)y->in - (double)y->out > 2 * ((double)x->in - (double)x->out);
}

/* n_rows rows of pixels with padding_bytes each. */
static int reserve_rows(struct buffer *buffer, size_t *ret_stride_bytes, size_t n_rows, size_t pixels,
                        size_t padding_bytes, struct error *error) {
        size_t stride_bytes, size;
        int r;

        if (!size_multiply(&stride_bytes, pixels, 3) ||
            !size_add(&stride_bytes, stride_bytes, padding_bytes) ||
            !size_multiply(&size, stride_bytes, n_rows))
                return error_no_memory(error);
        r = buffer_reserve(buffer, size, error);
        if (r < 0)
                return r;
        *ret_stride_bytes = stride_bytes;
        return 0;
}

int resizer_begin(struct resizer *resizer, const struct weights_axis *x, const struct weights_axis *y,
                  enum image_filter filter, unsigned char *output, size_t stride_bytes,
                  struct error *error) {
        int r;

        r = weights_setup(&resizer->x, x, filter, error);
        if (r < 0)
                return r;
        r = weights_setup(&resizer->y, y, filter, error);
        if (r < 0)
                return r;
        resizer->vertical_first = is_vertical_first(x, y);

        r = reserve_rows(&resizer->strip, &resizer->strip_stride_bytes, KERNELS_ROWS, x->in,
                         3 * resizer->x.taps + KERNELS_PADDING_BYTES, error);
        if (r < 0)
                return r;
        /* A strip goes in at once, while the first row of a full window may still be wanted. */
        resizer->n_ring = resizer->y.taps + KERNELS_ROWS;
        r = reserve_rows(&resizer->ring, &resizer->ring_stride_bytes, resizer->n_ring,
                         resizer->vertical_first ? x->in : x->n, KERNELS_PADDING_BYTES, error);
        if (r < 0)
                return r;
        r = buffer_reserve(&resizer->taps, resizer->y.taps * sizeof(unsigned char *), error);
        if (r < 0)
                return r;
        r = reserve_rows(&resizer->staged, &resizer->staged_stride_bytes, KERNELS_ROWS, x->n,
                         KERNELS_PADDING_BYTES, error);
        if (r < 0)
                return r;

        resizer->n_strip = resizer->n_rows = resizer->n_vertical = resizer->n_out = 0;
        resizer->ring_end = resizer->y.begin;
        resizer->output = output;
        resizer->stride_bytes = stride_bytes;
        return 0;
}

static unsigned char *strip_row(const struct resizer *resizer, size_t index) {
        return (unsigned char *)resizer->strip.bytes + index * resizer->strip_stride_bytes;
}

static unsigned char *ring_row(const struct resizer *resizer, size_t index) {
        return (unsigned char *)resizer->ring.bytes + index % resizer->n_ring * resizer->ring_stride_bytes;
}

static unsigned char *staged_row(const struct resizer *resizer, size_t index) {
        return (unsigned char *)resizer->staged.bytes + index * resizer->staged_stride_bytes;
}

static unsigned char *output_row(const struct resizer *resizer, size_t index) {
        return resizer->output + index * resizer->stride_bytes;
}

/* The rows of the strip through the horizontal pass; a strip that is not full repeats its last row. */
static void pass_horizontally(struct resizer *resizer) {
        unsigned char *in[KERNELS_ROWS], *out[KERNELS_ROWS];

        for (size_t i = 0; i < KERNELS_ROWS; i++) {
                size_t row = MIN(i, resizer->n_strip - 1);

                in[i] = strip_row(resizer, row);
                out[i] = resizer->vertical_first ? staged_row(resizer, row)
                                                 : ring_row(resizer, resizer->ring_end + row);
        }
        resizer->kernels->horizontal(out, (const unsigned char *const *)in, &resizer->x);

        if (resizer->vertical_first)
                for (size_t i = 0; i < resizer->n_strip; i++)
                        memcpy(output_row(resizer, resizer->n_out++), staged_row(resizer, i),
                               3 * resizer->x.n);
        else
                resizer->ring_end += resizer->n_strip;
        resizer->n_strip = 0;
}

/* Row index of the vertical pass, of n_bytes bytes from byte offset on, if all rows that it takes are there.
 */
static bool pass_vertically(struct resizer *resizer, unsigned char *out, size_t index, size_t offset,
                            size_t n_bytes) {
        const unsigned char **rows = resizer->taps.bytes;
        size_t first = resizer->y.first[index], n = resizer->y.n_taps[index];

        if (first + n > resizer->ring_end)
                return false;
        for (size_t t = 0; t < resizer->y.taps; t++)
                rows[t] = ring_row(resizer, first + MIN(t, n - 1)) + offset;
        resizer->kernels->vertical(out, rows, n_bytes, &resizer->y, index);
        return true;
}

/* A row came into the strip. */
static void continue_horizontal_first(struct resizer *resizer) {
        resizer->n_strip++;
        if (resizer->n_strip < KERNELS_ROWS && resizer->n_rows < resizer->y.end)
                return;
        pass_horizontally(resizer);
        while (resizer->n_out < resizer->y.n && pass_vertically(resizer, output_row(resizer, resizer->n_out),
                                                                resizer->n_out, 0, 3 * resizer->x.n))
                resizer->n_out++;
}

/* A row came into the ring. */
static void continue_vertical_first(struct resizer *resizer) {
        size_t offset = 3 * resizer->x.begin, n_bytes = 3 * resizer->x.end - offset;

        resizer->ring_end++;
        while (resizer->n_vertical < resizer->y.n &&
               pass_vertically(resizer, strip_row(resizer, resizer->n_strip) + offset, resizer->n_vertical,
                               offset, n_bytes)) {
                resizer->n_vertical++;
                resizer->n_strip++;
                if (resizer->n_strip == KERNELS_ROWS || resizer->n_vertical == resizer->y.n)
                        pass_horizontally(resizer);
        }
}

unsigned char *resizer_row(struct resizer *resizer) {
        return resizer->vertical_first ? ring_row(resizer, resizer->n_rows)
                                       : strip_row(resizer, resizer->n_strip);
}

void resizer_commit(struct resizer *resizer) {
        size_t row = resizer->n_rows++;

        if (row < resizer->y.begin || row >= resizer->y.end)
                return;
        if (resizer->vertical_first)
                continue_vertical_first(resizer);
        else
                continue_horizontal_first(resizer);
}
