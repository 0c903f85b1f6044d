/* activate: what native_epilogue's activations are, in vectors. Included by files that set LANES. */
#include "engine/native/conv.h"
#include "engine/native/vector.h"

INLINE vfloat activate(enum native_activation activation, vfloat x, float alpha, float beta) {
        switch (activation) {
        case NATIVE_LEAKY:
                return v_select_negative(x, x * v_set(alpha), x);
        case NATIVE_SIGMOID:
                return v_sigmoid(x);
        case NATIVE_SWISH:
                return x * v_sigmoid(x * v_set(alpha));
        case NATIVE_HARDSWISH:
                return x * v_clip(v_fma(x, v_set(1.f / 6), v_set(.5f)), v_set(0), v_set(1));
        case NATIVE_HARDSIGMOID:
                return v_clip(v_fma(x, v_set(alpha), v_set(beta)), v_set(0), v_set(1));
        case NATIVE_CLIP:
                break;
        }
        return x;
}
