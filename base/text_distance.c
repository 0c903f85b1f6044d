#include "base/text_distance.h"

#include <stdint.h>
#include <string.h>

#include "base/macros.h"

size_t text_distance(const char *a, const char *b) {
        size_t rows[3][TEXT_DISTANCE_MAX_BYTES + 1], n_a = strlen(a), n_b = strlen(b);

        if (n_a > TEXT_DISTANCE_MAX_BYTES || n_b > TEXT_DISTANCE_MAX_BYTES)
                return SIZE_MAX;
        for (size_t j = 0; j <= n_b; j++)
                rows[0][j] = j;
        for (size_t i = 1; i <= n_a; i++) {
                size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

                row[0] = i;
                for (size_t j = 1; j <= n_b; j++) {
                        size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

                        best = MIN(best, above[j] + 1);
                        best = MIN(best, row[j - 1] + 1);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                best = MIN(best, above2[j - 2] + 1);
                        row[j] = best;
                }
        }
        return rows[n_a % 3][n_b];
}
