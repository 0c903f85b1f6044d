/* The code of native/bytes.h for AVX-512 with VNNI, with whose flags this is compiled. */
#define LANES            16
#define DOT_ROWS         4 /* bytes that one instruction multiplies and adds */
#define DEPTHWISE_PIXELS 7 /* times 4 vectors of sums, of 32 registers */

#include <string.h>

#include "base/macros.h"
#include "engine/native/bytes_internal.h"
#include "engine/native/vector.h"

#define BYTES_ISA "avx512_vnni"

#include "engine/native/bytes_template.inc.h"
