/* The code of native/bytes.h for AVX2, with whose flags this is compiled. */
#define LANES            8
#define DOT_ROWS         2 /* words that one instruction multiplies and adds; that for bytes saturates */
#define DEPTHWISE_PIXELS 3 /* times 4 vectors of sums, of 16 registers */

#include <string.h>

#include "base/macros.h"
#include "engine/native/bytes_internal.h"
#include "engine/native/vector.h"

#define BYTES_ISA "avx2"

#include "engine/native/bytes_template.inc.h"
