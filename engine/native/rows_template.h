/* rows_template: what transformers do row by row, included by template.h. */

INLINE float sum_of_lanes(vec v) {
        float lanes[LANES], sum = 0;

        store(lanes, v);
        for (size_t i = 0; i < LANES; i++)
                sum += lanes[i];
        return sum;
}

/* ---- layer normalisation ---- */

/* Sum over a row of f(x): x, or (x - mean)^2. Four sums hide the latency of an addition. */
INLINE float row_sum(const float *x, size_t k, float mean, const bool squares) {
        vec sums[4] = {{0}, {0}, {0}, {0}};
        float rest = 0;
        size_t i = 0;

        for (; i + 4 * LANES <= k; i += 4 * LANES)
#pragma GCC unroll 4
                for (size_t s = 0; s < 4; s++) {
                        vec v = load(x + i + s * LANES) - mean;

                        sums[s] += squares ? v * v : v;
                }
        for (; i + LANES <= k; i += LANES) {
                vec v = load(x + i) - mean;

                sums[0] += squares ? v * v : v;
        }
        for (; i < k; i++) {
                float v = x[i] - mean;

                rest += squares ? v * v : v;
        }
        return rest + sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

static void layer_norm(size_t rows, size_t k, const float *x, const float *gamma, const float *beta,
                       float epsilon, float *y) {
        for (size_t r = 0; r < rows; r++, x += k, y += k) {
                float mean = row_sum(x, k, 0, false) / (float)k;
                float scale = 1 / __builtin_sqrtf(row_sum(x, k, mean, true) / (float)k + epsilon);
                size_t i = 0;

                for (; i + LANES <= k; i += LANES)
                        store(y + i, (load(x + i) - mean) * scale * load(gamma + i) + load(beta + i));
                for (; i < k; i++)
                        y[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
        }
}

/* ---- softmax of columns ---- */

/* 2^x for x <= 0; what is below float32's normal numbers becomes the smallest of them. x is split into the
 * nearest integer, which goes into the exponent's bits, and a rest of at most 1/2 with Taylor's series of
 * 2^x up to the sixth power, whose remainder is 1.2e-7. */
INLINE vec exp2_negative(vec x) {
        const float to_integer = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
        vec shifted, rest, p;
        mask exponent;

        x = at_least(x, splat(-126));
        shifted = x + to_integer;
        exponent = (mask)shifted - (mask)splat(to_integer);
        rest = x - (shifted - to_integer);
        p = rest * 1.5403530e-4f + 1.3333558e-3f;
        p = p * rest + 9.6181291e-3f;
        p = p * rest + 5.5504109e-2f;
        p = p * rest + 2.4022651e-1f;
        p = p * rest + 6.9314718e-1f;
        p = p * rest + 1.0f;
        return (vec)((mask)p + (exponent << 23));
}

static void softmax_columns(float *s, size_t rows, float *inverses) {
        vec highest[NATIVE_GEMM_VECTORS], sums[NATIVE_GEMM_VECTORS];

#pragma GCC unroll 4
        for (size_t v = 0; v < NATIVE_GEMM_VECTORS; v++) {
                highest[v] = load(s + v * LANES);
                sums[v] = (vec){0};
        }
        for (size_t r = 1; r < rows; r++)
#pragma GCC unroll 4
                for (size_t v = 0; v < NATIVE_GEMM_VECTORS; v++)
                        highest[v] = at_least(highest[v], load(s + r * COLUMNS + v * LANES));
        for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
                for (size_t v = 0; v < NATIVE_GEMM_VECTORS; v++) {
                        float *p = s + r * COLUMNS + v * LANES;
                        vec e = exp2_negative(load(p) - highest[v]);

                        sums[v] += e;
                        store(p, e);
                }
#pragma GCC unroll 4
        for (size_t v = 0; v < NATIVE_GEMM_VECTORS; v++)
                store(inverses + v * LANES, 1 / sums[v]);
}

/* ---- Gelu ---- */

/* x / 2 * (1 + erf(x / sqrt(2))). erf(x / sqrt(2)) / x is a polynomial of degree 12 in u, where x^2 from 0
 * to 25 is u from -1 to 1: the expansion in Chebyshev polynomials, as powers. Beyond 5, where erf is 1 but
 * for 6e-7, it stays what it is there. The error is below 2e-6 for x between -7 and 7. */
INLINE vec gelu_vector(vec x) {
        vec inside = at_most(at_least(x, splat(-5)), splat(5)), half = x * 0.5f;
        vec u = inside * inside * 0.08f - 1.0f, p;

        p = u * 0.00147075278f + -0.00335346196f;
        p = p * u + 0.0027491923f;
        p = p * u + -0.00505383346f;
        p = p * u + 0.013533055f;
        p = p * u + -0.0226142498f;
        p = p * u + 0.0324721796f;
        p = p * u + -0.0464262566f;
        p = p * u + 0.0629535173f;
        p = p * u + -0.0809025648f;
        p = p * u + 0.103035859f;
        p = p * u + -0.140591818f;
        p = p * u + 0.282727637f;
        return half * inside * p + half;
}

static void gelu(size_t rows, size_t n, const float *x, size_t x_stride, const float *bias, float *y,
                 size_t y_stride) {
        for (size_t r = 0; r < rows; r++, x += x_stride, y += y_stride) {
                size_t i = 0;

                for (; i + LANES <= n; i += LANES)
                        store(y + i, gelu_vector(bias ? load(x + i) + load(bias + i) : load(x + i)));
                if (i < n) {
                        vec rest = load_lanes(x + i, n - i);

                        store_lanes(y + i, gelu_vector(bias ? rest + load_lanes(bias + i, n - i) : rest),
                                    n - i);
                }
        }
}
