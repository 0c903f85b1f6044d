#include "engine/top_k.h"

#include <math.h>
#include <stdbool.h>

#include "base/macros.h"

/* Does index a come before index b? A total order: value, then index, so that the answer is always the same.
 */
static bool comes_before(const float *values, size_t a, size_t b) {
        float x = values[a], y = values[b];

        if (isnan(x) || isnan(y))
                return isnan(x) && isnan(y) ? a < b : isnan(y);
        if (x > y)
                return true;
        if (x < y)
                return false;
        return a < b;
}

/* heap[0] is the last one of the order; moves heap[at] down to its place. */
static void sift_down(size_t *heap, size_t n, size_t at, const float *values) {
        size_t index = heap[at];

        for (;;) {
                size_t child = 2 * at + 1;

                if (child >= n)
                        break;
                if (child + 1 < n && comes_before(values, heap[child], heap[child + 1]))
                        child++;
                if (!comes_before(values, index, heap[child]))
                        break;
                heap[at] = heap[child];
                at = child;
        }
        heap[at] = index;
}

size_t top_k(size_t *ret_indices, size_t k, const float *values, size_t n) {
        size_t *heap = ret_indices;

        k = MIN(k, n);
        if (k == 0)
                return 0;

        /* The k best so far, the worst of them on top: n log k, where most values fail the first comparison.
         */
        for (size_t i = 0; i < k; i++)
                heap[i] = i;
        for (size_t i = k / 2; i-- > 0;)
                sift_down(heap, k, i, values);
        for (size_t i = k; i < n; i++)
                if (comes_before(values, i, heap[0])) {
                        heap[0] = i;
                        sift_down(heap, k, 0, values);
                }

        for (size_t rest = k; rest > 1; rest--) {
                size_t last = heap[0];

                heap[0] = heap[rest - 1];
                heap[rest - 1] = last;
                sift_down(heap, rest - 1, 0, values);
        }
        return k;
}
