/* bytes: all of it for one instruction set. Included by bytes_avx2.c and bytes_avx512.c. */
#include "engine/native/activate.inc.h"
#include "engine/native/bytes_depthwise_task.inc.h"

#define WIDTH 16
#include "engine/native/bytes_width.inc.h"

#include "engine/native/bytes_depthwise.inc.h"

#undef WIDTH
#define WIDTH 32
#include "engine/native/bytes_width.inc.h"

#include "engine/native/bytes_depthwise.inc.h"

#if LANES == 16
#undef WIDTH
#define WIDTH 64
#include "engine/native/bytes_width.inc.h"

#include "engine/native/bytes_depthwise.inc.h"
#endif

/* The rest is for the widest vectors, 4 * LANES bytes. */
#include "engine/native/bytes_finish.inc.h"

#include "engine/native/bytes_depthwise_rows.inc.h"
#include "engine/native/bytes_pixelwise.inc.h"
#include "engine/native/bytes_pool.inc.h"
#include "engine/native/bytes_quantise.inc.h"

const struct bytes_code VECTOR(bytes) = {
        .isa = BYTES_ISA,
        .width = WIDTH,
        .rows = DOT_ROWS,
        .depthwise = bytes_depthwise,
        .pool = bytes_pool,
        .global_pool = bytes_global_pool,
        .binary = bytes_binary,
        .lookup = bytes_lookup,
        .pixels = bytes_pixels,
        .quantise = bytes_quantise,
        .dequantise = bytes_dequantise,
};
