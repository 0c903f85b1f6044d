/* 32 registers of 16 floats: 14 rows of 2 vectors, and their operands. */
#define NATIVE              native_avx512
#define NATIVE_ISA          "avx512"
#define NATIVE_LANES        16
#define NATIVE_GEMM_ROWS    14
#define NATIVE_GEMM_VECTORS 2

#include "engine/native/template.h"
