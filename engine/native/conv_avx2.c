/* The families of native/conv.h for AVX2 and FMA, with whose flags this is compiled. */
#define LANES 8

#include "engine/native/conv.h"
#include "engine/native/vector.h"

#include "engine/native/conv_epilogue.inc.h"

#include "engine/native/conv_depthwise.inc.h"
#include "engine/native/conv_grouped.inc.h"
#include "engine/native/conv_pointwise.inc.h"
