/* 16 registers of 8 floats: 6 rows of 2 vectors, and their operands. */
#define NATIVE              native_avx2
#define NATIVE_ISA          "avx2"
#define NATIVE_LANES        8
#define NATIVE_GEMM_ROWS    6
#define NATIVE_GEMM_VECTORS 2
#define NATIVE_CONV         {native_pointwise_avx2, native_depthwise_avx2, native_grouped_avx2}
#define NATIVE_CHANNELS     native_channels_avx2

#include "engine/native/template.h"
