#include "engine/peak.h"

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/macros.h"
#include "engine/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PEAK_ITERATIONS 10000u /* of all chains: 20 to 60 us */
#define PEAK_TRIALS     64u    /* the first ones warm the clock up; others may be interrupted */
#define PEAK_MAX_NS     10000000u

/* As many chains as a latency of 4 cycles times 2 units needs, and some more, within 16 registers. */
#define PEAK_CHAINS 12u
#define EACH_CHAIN(each)                                                                                    \
        each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7) each(8) each(9) each(10) each(11)

/*
 * Defines a trial, which returns the sum of the chains, so that no compiler can drop them. Each chain is
 * x = x / 2 + 1 / 2, which goes towards 1: never denormal, never infinite. Chains are variables and no
 * array: each stays in a register whatever the compiler thinks of unrolling.
 */
#define CHAIN_BEGIN(i)   x##i = set((float)(i)),
#define CHAIN_ADVANCE(i) x##i = multiply_add(x##i, half, half);
#define CHAIN_SUM(i)     sum += lane(x##i);
#define DEFINE_TRIAL(name, vector)                                                                          \
        static float name(void) {                                                                           \
                vector EACH_CHAIN(CHAIN_BEGIN) half = set(0.5f);                                            \
                float sum = 0;                                                                              \
                                                                                                            \
                for (size_t n = 0; n < PEAK_ITERATIONS; n++) {                                              \
                        EACH_CHAIN(CHAIN_ADVANCE)                                                           \
                }                                                                                           \
                EACH_CHAIN(CHAIN_SUM)                                                                       \
                return sum;                                                                                 \
        }

#if defined(__x86_64__)

#define set          _mm256_set1_ps
#define multiply_add _mm256_fmadd_ps
#define lane         _mm256_cvtss_f32
__attribute__((target("avx2,fma"))) DEFINE_TRIAL(trial_avx2, __m256)
#undef set
#undef multiply_add
#undef lane

#define set          _mm512_set1_ps
#define multiply_add _mm512_fmadd_ps
#define lane         _mm512_cvtss_f32
        __attribute__((target("avx512f"))) DEFINE_TRIAL(trial_avx512, __m512)
#undef set
#undef multiply_add
#undef lane

#endif

        /* 128 bits, which every CPU with vectors has; fused where the CPU always can. */
        typedef float portable_vector __attribute__((vector_size(16)));

#define set(value)            ((portable_vector){(value), (value), (value), (value)})
#define multiply_add(a, b, c) ((a) * (b) + (c))
#define lane(x)               ((x)[0])
DEFINE_TRIAL(trial_portable, portable_vector)

struct peak_kind {
        float (*trial)(void);
        size_t vector_bytes;
};

static struct peak_kind choose(void) {
#if defined(__x86_64__)
        if (cpu_may_use_avx512())
                return (struct peak_kind){trial_avx512, sizeof(__m512)};
        if (cpu_may_use_avx2())
                return (struct peak_kind){trial_avx2, sizeof(__m256)};
#endif
        return (struct peak_kind){trial_portable, sizeof(portable_vector)};
}

double peak_flop_per_s(void) {
        const struct peak_kind kind = choose();
        double flop = 2.0 * PEAK_CHAINS * PEAK_ITERATIONS * (double)(kind.vector_bytes / sizeof(float));
        uint64_t started = clock_ns(), best_ns = UINT64_MAX;
        volatile float sink;

        for (size_t i = 0; i < PEAK_TRIALS && clock_ns() - started < PEAK_MAX_NS; i++) {
                uint64_t before = clock_ns(), ns;

                sink = kind.trial();
                ns = clock_ns() - before;
                best_ns = MIN(best_ns, MAX(ns, 1u));
        }
        (void)sink;
        return flop / ((double)best_ns / 1e9);
}
