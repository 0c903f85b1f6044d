/* What every 64-bit CPU has: 16 registers of 4 floats. */
#define NATIVE               native_portable
#define NATIVE_ISA           "portable"
#define NATIVE_LANES         4
#define NATIVE_GEMM_ROWS     4
#define NATIVE_GEMM_VECTORS  2
#define NATIVE_GEMM_PREFETCH 0

#include "engine/native/template.h"
