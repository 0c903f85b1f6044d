/* The families of native/conv.h for AVX-512F, with whose flags this is compiled. */
#define LANES 16

#include "engine/native/conv.h"
#include "engine/native/vector.h"

#include "engine/native/conv_epilogue.inc.h"

#include "engine/native/conv_depthwise.inc.h"
#include "engine/native/conv_grouped.inc.h"
#include "engine/native/conv_pointwise.inc.h"
