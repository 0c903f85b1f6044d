#include "engine/image/resize.h"

#include <stdlib.h>

struct resizer {
        const struct kernels *kernels;
        struct weights x, y;

        struct buffer strip; /* KERNELS_ROWS input rows */
        size_t strip_stride_bytes;
        size_t n_strip; /* rows in it */

        /* Rows that went through the horizontal pass; row i lies in slot i % n_ring. */
        struct buffer ring;
        size_t ring_stride_bytes, n_ring;
        struct buffer taps; /* pointers to the rows of one output row */

        size_t n_rows, n_out; /* input rows committed, output rows written */
        size_t n_horizontal;  /* end of the rows in the ring */
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
        free(resizer);
}

void resizer_trim(struct resizer *resizer, size_t max_bytes) {
        buffer_trim(&resizer->x.memory, max_bytes);
        buffer_trim(&resizer->y.memory, max_bytes);
        buffer_trim(&resizer->strip, max_bytes);
        buffer_trim(&resizer->ring, max_bytes);
        buffer_trim(&resizer->taps, max_bytes);
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

        r = reserve_rows(&resizer->strip, &resizer->strip_stride_bytes, KERNELS_ROWS, x->in,
                         3 * resizer->x.taps + KERNELS_PADDING_BYTES, error);
        if (r < 0)
                return r;
        /* A strip goes in at once, while the first row of a full window may still be wanted. */
        resizer->n_ring = resizer->y.taps + KERNELS_ROWS;
        r = reserve_rows(&resizer->ring, &resizer->ring_stride_bytes, resizer->n_ring, x->n,
                         KERNELS_PADDING_BYTES, error);
        if (r < 0)
                return r;
        r = buffer_reserve(&resizer->taps, resizer->y.taps * sizeof(unsigned char *), error);
        if (r < 0)
                return r;

        resizer->n_strip = resizer->n_rows = resizer->n_out = 0;
        resizer->n_horizontal = resizer->y.begin;
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

/* The rows of the strip through the horizontal pass; a strip that is not full repeats its last row. */
static void pass_horizontally(struct resizer *resizer) {
        unsigned char *in[KERNELS_ROWS], *out[KERNELS_ROWS];

        for (size_t i = 0; i < KERNELS_ROWS; i++) {
                size_t row = MIN(i, resizer->n_strip - 1);

                in[i] = strip_row(resizer, row);
                out[i] = ring_row(resizer, resizer->n_horizontal + row);
        }
        resizer->kernels->horizontal(out, (const unsigned char *const *)in, &resizer->x);
        resizer->n_horizontal += resizer->n_strip;
        resizer->n_strip = 0;
}

/* All output rows whose input rows are there. */
static void pass_vertically(struct resizer *resizer) {
        const struct weights *y = &resizer->y;
        const unsigned char **rows = resizer->taps.bytes;

        while (resizer->n_out < y->n) {
                size_t first = y->first[resizer->n_out], n = y->n_taps[resizer->n_out];

                if (first + n > resizer->n_horizontal)
                        return;
                for (size_t t = 0; t < y->taps; t++)
                        rows[t] = ring_row(resizer, first + MIN(t, n - 1));
                resizer->kernels->vertical(resizer->output + resizer->n_out * resizer->stride_bytes, rows,
                                           3 * resizer->x.n, y, resizer->n_out);
                resizer->n_out++;
        }
}

unsigned char *resizer_row(struct resizer *resizer) {
        return strip_row(resizer, resizer->n_strip);
}

void resizer_commit(struct resizer *resizer) {
        size_t row = resizer->n_rows++;

        if (row < resizer->y.begin || row >= resizer->y.end)
                return;
        resizer->n_strip++;
        if (resizer->n_strip == KERNELS_ROWS || row + 1 == resizer->y.end) {
                pass_horizontally(resizer);
                pass_vertically(resizer);
        }
}

void resizer_rows(const struct resizer *resizer, size_t *ret_begin, size_t *ret_end) {
        *ret_begin = resizer->y.begin;
        *ret_end = resizer->y.end;
}
