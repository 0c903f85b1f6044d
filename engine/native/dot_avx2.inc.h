/* dot_avx2: what the kernels of integers for AVX2 have in common. Included by those that define PANEL. */
#define LANES    8
#define DOT_TYPE 0

#include "engine/native/activate.inc.h"

typedef __m256i vsum;

INLINE vfloat sum_float(vsum sum) {
        return _mm256_cvtepi32_ps(sum);
}

#include "engine/native/dot_results.inc.h"
