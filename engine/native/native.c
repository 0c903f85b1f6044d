#include "engine/native/native.h"

#include <oneapi/dnnl/dnnl.h>

const struct native *native_best(void) {
#if defined(__x86_64__)
        /* oneDNN asks CPUID and honours ONEDNN_MAX_CPU_ISA: one answer for its kernels and ours. */
        switch (dnnl_get_effective_cpu_isa()) {
        case dnnl_cpu_isa_all:
        case dnnl_cpu_isa_sse41:
        case dnnl_cpu_isa_avx:
                return &native_portable;
        case dnnl_cpu_isa_avx2:
        case dnnl_cpu_isa_avx2_vnni:
                return &native_avx2;
        default:
                return &native_avx512;
        }
#else
        return &native_portable;
#endif
}
