#include "quantize/agreement.h"

#include <math.h>
#include <stdlib.h>

static size_t best_of(const float *outputs, size_t n) {
        size_t best = 0;

        for (size_t i = 1; i < n; i++)
                if (outputs[i] > outputs[best])
                        best = i;
        return best;
}

static void to_probabilities(double *ret_probabilities, const float *outputs, size_t n, bool probabilities) {
        double largest = (double)outputs[best_of(outputs, n)], sum = 0;

        for (size_t i = 0; i < n; i++) {
                ret_probabilities[i] =
                        probabilities ? MAX((double)outputs[i], 0.0) : exp((double)outputs[i] - largest);
                sum += ret_probabilities[i];
        }
        for (size_t i = 0; i < n && sum > 0; i++)
                ret_probabilities[i] /= sum;
}

int agreement_of(struct agreement *ret_agreement, const float *outputs, const float *float_outputs,
                 size_t n_classes, bool probabilities, const struct pictures *pictures, size_t step,
                 struct error *error) {
        _cleanup_(freep) double *p = calloc(n_classes, sizeof(*p)), *q = calloc(n_classes, sizeof(*q));
        struct agreement a = {.n = (pictures->n + step - 1) / step};
        double signal = 0, noise = 0;

        if (!p || !q)
                return error_no_memory(error);
        for (size_t i = 0; i < a.n; i++) {
                const float *mine = outputs + i * n_classes, *theirs = float_outputs + i * n_classes;
                size_t best = best_of(mine, n_classes), float_best = best_of(theirs, n_classes);
                int class = pictures->pictures[i * step].class;

                to_probabilities(p, theirs, n_classes, probabilities);
                to_probabilities(q, mine, n_classes, probabilities);
                a.n_same += best == float_best;
                for (size_t c = 0; c < n_classes; c++) {
                        double difference = (double)mine[c] - (double)theirs[c];

                        signal += (double)theirs[c] * (double)theirs[c];
                        noise += difference * difference;
                        if (p[c] > 0)
                                a.divergence += p[c] * log(p[c] / MAX(q[c], 1e-30));
                }
                if (class == PICTURES_NO_CLASS)
                        continue;
                a.n_labelled++;
                a.n_right += best == (size_t) class;
                a.n_right_float += float_best == (size_t) class;
        }
        a.divergence /= (double)a.n;
        a.sqnr_db = noise > 0 ? 10 * log10(signal / noise) : INFINITY;
        *ret_agreement = a;
        return 0;
}

double agreement_drop(const struct agreement *agreement) {
        if (agreement->n_labelled > 0)
                return 100.0 * ((double)agreement->n_right_float - (double)agreement->n_right) /
                       (double)agreement->n_labelled;
        return 100.0 * (double)(agreement->n - agreement->n_same) / (double)agreement->n;
}

double agreement_resolution(const struct agreement *agreement) {
        return 100.0 / (double)(agreement->n_labelled > 0 ? agreement->n_labelled : agreement->n);
}
