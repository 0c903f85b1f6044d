#include "engine/image/weights.h"

#include <math.h>
#include <string.h>

#include "base/macros.h"

static double filter_bilinear(double x) {
        x = fabs(x);
        return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys 1981, "Cubic convolution interpolation", a = -0.5; written in the order in which Pillow rounds. */
static double filter_bicubic(double x) {
        const double a = -0.5;

        x = fabs(x);
        if (x < 1.0)
                return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
        if (x < 2.0)
                return (((x - 5) * x + 8) * x - 4) * a;
        return 0.0;
}

static const struct {
        double (*weight)(double x);
        double support; /* the filter is zero beyond */
} filters[] = {
        [IMAGE_FILTER_BILINEAR] = {filter_bilinear, 1.0},
        [IMAGE_FILTER_BICUBIC] = {filter_bicubic, 2.0},
};

/* Where output index lies: its centre in the input, and the taps that its filter covers. */
struct window {
        double centre;
        size_t first, n;
};

static struct window window_of(const struct weights_axis *axis, double scale, double support, size_t index) {
        double centre = axis->box_from + ((double)index + 0.5) * scale;
        double low = centre - support + 0.5, high = centre + support + 0.5;
        size_t first = low > 0.0 ? (size_t)low : 0, end = MIN((size_t)high, axis->in);

        return (struct window){.centre = centre, .first = first, .n = end - first};
}

static int32_t to_fixed(double weight) {
        double scaled = weight * (1 << WEIGHTS_FRACTION_BITS);

        return (int32_t)(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

static int weights_allocate(struct weights *weights, struct error *error) {
        const size_t size_per_tap = sizeof(int32_t) + 2 * sizeof(int16_t);
        size_t n_fixed, per_taps, per_outputs, size;
        unsigned char *bytes;
        int r;

        if (!size_multiply(&n_fixed, weights->n, weights->taps) ||
            !size_multiply(&per_taps, n_fixed, size_per_tap) ||
            !size_multiply(&per_outputs, weights->n, 2 * sizeof(uint32_t)) ||
            !size_add(&size, per_taps, per_outputs) ||
            !size_add(&size, size, weights->taps * sizeof(double)))
                return error_no_memory(error);
        r = buffer_reserve(&weights->memory, size, error);
        if (r < 0)
                return r;

        /* After the doubles, which come first for their alignment, and are scratch. */
        bytes = (unsigned char *)weights->memory.bytes + weights->taps * sizeof(double);
        weights->fixed = (int32_t *)bytes;
        weights->split = (int16_t *)(weights->fixed + n_fixed);
        weights->first = (uint32_t *)(weights->split + 2 * n_fixed);
        weights->n_taps = weights->first + weights->n;
        return 0;
}

static void weights_split(struct weights *weights) {
        for (size_t i = 0; i < weights->n * weights->taps; i++) {
                int16_t *group = weights->split + i / WEIGHTS_TAP_GROUP * (2 * WEIGHTS_TAP_GROUP);
                size_t tap = i % WEIGHTS_TAP_GROUP;

                group[tap] = (int16_t)(weights->fixed[i] >> WEIGHTS_LOW_BITS);
                group[WEIGHTS_TAP_GROUP + tap] =
                        (int16_t)(weights->fixed[i] & ((1 << WEIGHTS_LOW_BITS) - 1));
        }
}

int weights_setup(struct weights *weights, const struct weights_axis *axis, enum image_filter filter,
                  struct error *error) {
        double scale = (axis->box_to - axis->box_from) / (double)axis->out;
        double filter_scale = MAX(scale, 1.0); /* shrinking widens the filter: that is the antialiasing */
        double support = filters[filter].support * filter_scale, inverse = 1.0 / filter_scale;
        size_t most = 0;
        double *tap;
        int r;

        weights->begin = axis->in;
        weights->end = 0;
        for (size_t i = 0; i < axis->n; i++) {
                struct window window = window_of(axis, scale, support, axis->from + i);

                most = MAX(most, window.n);
                weights->begin = MIN(weights->begin, window.first);
                weights->end = MAX(weights->end, window.first + window.n);
        }
        weights->n = axis->n;
        weights->taps = (most + WEIGHTS_TAP_GROUP - 1) / WEIGHTS_TAP_GROUP * WEIGHTS_TAP_GROUP;
        r = weights_allocate(weights, error);
        if (r < 0)
                return r;

        tap = weights->memory.bytes;
        for (size_t i = 0; i < axis->n; i++) {
                struct window window = window_of(axis, scale, support, axis->from + i);
                int32_t *fixed = weights->fixed + i * weights->taps;
                double sum = 0.0;

                for (size_t t = 0; t < window.n; t++) {
                        tap[t] = filters[filter].weight(((double)(window.first + t) - window.centre + 0.5) *
                                                        inverse);
                        sum += tap[t];
                }
                for (size_t t = 0; t < window.n; t++)
                        fixed[t] = to_fixed(sum != 0.0 ? tap[t] / sum : tap[t]);
                memset(fixed + window.n, 0, (weights->taps - window.n) * sizeof(*fixed));
                weights->first[i] = (uint32_t)window.first;
                weights->n_taps[i] = (uint32_t)window.n;
        }
        weights_split(weights);
        return 0;
}

void weights_release(struct weights *weights) {
        buffer_release(&weights->memory);
        *weights = (struct weights){0};
}
