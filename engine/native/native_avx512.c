/* 32 registers of 16 floats: 14 rows of 2 vectors, and their operands. Fourteen rows use each vector of
 * weights long enough for the hardware's own prefetching to keep up. */
#define NATIVE               native_avx512
#define NATIVE_ISA           "avx512"
#define NATIVE_LANES         16
#define NATIVE_GEMM_ROWS     14
#define NATIVE_GEMM_VECTORS  2
#define NATIVE_GEMM_PREFETCH 0
#define NATIVE_CONV                                                                                         \
        { native_pointwise_avx512, native_depthwise_avx512, native_grouped_avx512 }

#include "engine/native/template.h"
