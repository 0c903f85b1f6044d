#pragma once
/* eltwise: functions of one element, y = f(x), as steps and as post-ops of other steps. */

enum eltwise_kind {
        ELTWISE_RELU,      /* x < 0 ? alpha * x : x */
        ELTWISE_CLIP,      /* min(max(x, alpha), beta) */
        ELTWISE_SIGMOID,   /* 1 / (1 + exp(-x)) */
        ELTWISE_SWISH,     /* x * sigmoid(alpha * x); SiLU with alpha 1 */
        ELTWISE_HARDSWISH, /* x * min(max(x + 3, 0), 6) / 6 */
        ELTWISE_LINEAR,    /* alpha * x + beta */
        ELTWISE_TANH,
        ELTWISE_ELU, /* x > 0 ? x : alpha * (exp(x) - 1) */
        ELTWISE_EXP,
        ELTWISE_LOG,
        ELTWISE_SQRT,
        ELTWISE_ABS,
        ELTWISE_GELU_ERF, /* x / 2 * (1 + erf(x / sqrt(2))) */
};

struct eltwise {
        enum eltwise_kind kind;
        float alpha, beta;
};
