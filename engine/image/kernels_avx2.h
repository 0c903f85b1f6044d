#pragma once
/* kernels_avx2: the resize passes in AVX2. */
#include "engine/image/kernels.h"

/* NULL where the CPU, or the architecture, has no AVX2. */
const struct kernels *kernels_avx2(void);
