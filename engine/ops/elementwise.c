#include "engine/ops/elementwise.h"

#include <math.h>
#include <string.h>

/* ---- reals ---- */

static double real_add(double a, double b) {
        return a + b;
}

static double real_sub(double a, double b) {
        return a - b;
}

static double real_mul(double a, double b) {
        return a * b;
}

static double real_div(double a, double b) {
        return a / b;
}

/* Not a number where either is, as numpy's maximum and minimum. */
static double real_max(double a, double b) {
        return a > b || isnan(a) ? a : b;
}

static double real_min(double a, double b) {
        return a < b || isnan(a) ? a : b;
}

static double real_prelu(double a, double b) {
        return a < 0 ? a * b : a;
}

static double real_equal(double a, double b) {
        return a == b;
}

static double real_less(double a, double b) {
        return a < b;
}

static double real_less_or_equal(double a, double b) {
        return a <= b;
}

static double real_greater(double a, double b) {
        return a > b;
}

static double real_greater_or_equal(double a, double b) {
        return a >= b;
}

/* ---- integers ---- */

static int overflowed(bool overflow, struct error *error) {
        return overflow ? error_set(error, ERROR_INVALID, "constants overflow int64") : 0;
}

static int integer_add(int64_t *ret, int64_t a, int64_t b, struct error *error) {
        return overflowed(__builtin_add_overflow(a, b, ret), error);
}

static int integer_sub(int64_t *ret, int64_t a, int64_t b, struct error *error) {
        return overflowed(__builtin_sub_overflow(a, b, ret), error);
}

static int integer_mul(int64_t *ret, int64_t a, int64_t b, struct error *error) {
        return overflowed(__builtin_mul_overflow(a, b, ret), error);
}

static int need_divisor(int64_t a, int64_t b, struct error *error) {
        if (b == 0)
                return error_set(error, ERROR_INVALID, "division of constants by zero");
        return overflowed(a == INT64_MIN && b == -1, error);
}

/* Towards zero, as the runtimes have it. */
static int integer_div(int64_t *ret, int64_t a, int64_t b, struct error *error) {
        int r = need_divisor(a, b, error);

        if (r >= 0)
                *ret = a / b;
        return r;
}

/* The sign of the divisor; fmod = 1 has that of the dividend. */
static int integer_mod(int64_t *ret, int64_t a, int64_t b, struct error *error) {
        int r = need_divisor(a, b, error);

        if (r >= 0)
                *ret = a % b != 0 && (a % b < 0) != (b < 0) ? a % b + b : a % b;
        return r;
}

static int integer_fmod(int64_t *ret, int64_t a, int64_t b, struct error *error) {
        int r = need_divisor(a, b, error);

        if (r >= 0)
                *ret = a % b;
        return r;
}

static int integer_pow(int64_t *ret, int64_t a, int64_t b, struct error *error) {
        int64_t power = 1;

        if (b < 0)
                return error_set(error, ERROR_UNSUPPORTED, "a negative power of integers");
        for (bool overflow = false; b > 0; b >>= 1) {
                if (b & 1)
                        overflow |= __builtin_mul_overflow(power, a, &power);
                if (b > 1)
                        overflow |= __builtin_mul_overflow(a, a, &a);
                if (overflow)
                        return overflowed(true, error);
        }
        *ret = power;
        return 0;
}

#define INTEGER_FUNCTION(name, expression)                                                                  \
        static int integer_##name(int64_t *ret, int64_t a, int64_t b, _unused_ struct error *error) {       \
                *ret = (expression);                                                                        \
                return 0;                                                                                   \
        }

INTEGER_FUNCTION(max, MAX(a, b))
INTEGER_FUNCTION(min, MIN(a, b))
INTEGER_FUNCTION(equal, a == b)
INTEGER_FUNCTION(less, a < b)
INTEGER_FUNCTION(less_or_equal, a <= b)
INTEGER_FUNCTION(greater, a > b)
INTEGER_FUNCTION(greater_or_equal, a >= b)
INTEGER_FUNCTION(and, a != 0 && b != 0)
INTEGER_FUNCTION(or, a != 0 || b != 0)
INTEGER_FUNCTION(xor, (a != 0) != (b != 0))

/* ---- rows ---- */

/* The three cases that vectorise, and the rest. */
#define ROW_FUNCTION(name, expression)                                                                      \
        static void row_##name(float *dst, const float *pa, ptrdiff_t step_a, const float *pb,              \
                               ptrdiff_t step_b, size_t n) {                                                \
                if (step_a == 1 && step_b == 1)                                                             \
                        for (size_t i = 0; i < n; i++) {                                                    \
                                _unused_ float a = pa[i], b = pb[i];                                        \
                                                                                                            \
                                dst[i] = (expression);                                                      \
                        }                                                                                   \
                else if (step_a == 1 && step_b == 0)                                                        \
                        for (size_t i = 0; i < n; i++) {                                                    \
                                _unused_ float a = pa[i], b = *pb;                                          \
                                                                                                            \
                                dst[i] = (expression);                                                      \
                        }                                                                                   \
                else                                                                                        \
                        for (size_t i = 0; i < n; i++) {                                                    \
                                _unused_ float a = pa[(ptrdiff_t)i * step_a],                               \
                                               b = pb[(ptrdiff_t)i * step_b];                               \
                                                                                                            \
                                dst[i] = (expression);                                                      \
                        }                                                                                   \
        }

ROW_FUNCTION(add, a + b)
ROW_FUNCTION(sub, a - b)
ROW_FUNCTION(mul, a *b)
ROW_FUNCTION(div, a / b)
ROW_FUNCTION(max, a > b || isnan(a) ? a : b)
ROW_FUNCTION(min, a < b || isnan(a) ? a : b)
ROW_FUNCTION(prelu, a < 0 ? a * b : a)
ROW_FUNCTION(fmod, fmodf(a, b))
ROW_FUNCTION(pow_any, powf(a, b))
ROW_FUNCTION(square, a *a)
ROW_FUNCTION(cube, a *a *a)
ROW_FUNCTION(root, sqrtf(a))

/* Exporters write squares of whole maps, for which powf() is slow. */
static void row_pow(float *dst, const float *a, ptrdiff_t step_a, const float *b, ptrdiff_t step_b,
                    size_t n) {
        if (step_b == 0 && *b == 2)
                row_square(dst, a, step_a, b, step_b, n);
        else if (step_b == 0 && *b == 3)
                row_cube(dst, a, step_a, b, step_b, n);
        else if (step_b == 0 && *b == 0.5f)
                row_root(dst, a, step_a, b, step_b, n);
        else
                row_pow_any(dst, a, step_a, b, step_b, n);
}

/* Mod with fmod = 0 is called Mod, with fmod = 1 ModTruncated. */
static const struct binary_function functions[] = {
        {"Add", false, false, real_add, integer_add, row_add},
        {"And", true, true, NULL, integer_and, NULL},
        {"Div", false, false, real_div, integer_div, row_div},
        {"Equal", true, false, real_equal, integer_equal, NULL},
        {"Greater", true, false, real_greater, integer_greater, NULL},
        {"GreaterOrEqual", true, false, real_greater_or_equal, integer_greater_or_equal, NULL},
        {"Less", true, false, real_less, integer_less, NULL},
        {"LessOrEqual", true, false, real_less_or_equal, integer_less_or_equal, NULL},
        {"Max", false, false, real_max, integer_max, row_max},
        {"Mean", false, false, real_add, NULL, row_add},
        {"Min", false, false, real_min, integer_min, row_min},
        {"Mod", false, false, NULL, integer_mod, NULL},
        {"ModTruncated", false, false, fmod, integer_fmod, row_fmod},
        {"Mul", false, false, real_mul, integer_mul, row_mul},
        {"Or", true, true, NULL, integer_or, NULL},
        {"PRelu", false, false, real_prelu, NULL, row_prelu},
        {"Pow", false, false, pow, integer_pow, row_pow},
        {"Sub", false, false, real_sub, integer_sub, row_sub},
        {"Sum", false, false, real_add, NULL, row_add},
        {"Xor", true, true, NULL, integer_xor, NULL},
};

const struct binary_function *binary_function_find(const char *type) {
        for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
                if (strcmp(functions[i].type, type) == 0)
                        return &functions[i];
        return NULL;
}
