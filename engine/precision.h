#pragma once
/* precision: what a model computes in. */

enum precision {
        PRECISION_AUTO, /* the fastest of those that the model was made for */
        PRECISION_F32,  /* also of a quantised file: its definition in float32 */
        PRECISION_BF16, /* layers in bfloat16, sums in float32 */
        PRECISION_INT8, /* what the file quantises in integers, the rest in float32 */
};
