#include "engine/cpu.h"

#include <elf.h>
#include <link.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <oneapi/dnnl/dnnl.h>

#include "base/macros.h"
#include "engine/cgroup.h"

#define CPU_MAX        (1u << 16) /* CPUs that an affinity mask is read for; Linux has at most 8192 */
#define CPU_AGAIN_MARK "_SACCADE_EXECUTED_AGAIN"
#define CPU_SPIN_COUNT "2000" /* engine/cpu.h has the figures */

static unsigned affinity_count(void) {
        for (unsigned n_cpus = 1024; n_cpus <= CPU_MAX; n_cpus *= 2) {
                size_t size = CPU_ALLOC_SIZE(n_cpus);
                cpu_set_t *set = CPU_ALLOC(n_cpus);
                int count = 0;

                if (!set)
                        return 1;
                /* EINVAL: the kernel's mask is longer than this one. */
                if (sched_getaffinity(0, size, set) == 0)
                        count = CPU_COUNT_S(size, set);
                CPU_FREE(set);
                if (count > 0)
                        return (unsigned)count;
        }
        return 1;
}

unsigned cpu_count(void) {
        unsigned count = affinity_count(), limit = cgroup_cpu_limit("");

        return limit > 0 ? MIN(count, limit) : count;
}

const char *cpu_isa(void) {
        switch (dnnl_get_effective_cpu_isa()) {
        case dnnl_cpu_isa_all:
                return "generic";
        case dnnl_cpu_isa_sse41:
                return "SSE4.1";
        case dnnl_cpu_isa_avx:
                return "AVX";
        case dnnl_cpu_isa_avx2:
                return "AVX2";
        case dnnl_cpu_isa_avx2_vnni:
                return "AVX2 VNNI";
        case dnnl_cpu_isa_avx512_core:
                return "AVX-512";
        case dnnl_cpu_isa_avx512_core_vnni:
                return "AVX-512 VNNI";
        case dnnl_cpu_isa_avx512_core_bf16:
                return "AVX-512 VNNI BF16";
        case dnnl_cpu_isa_avx512_core_amx:
                return "AVX-512 VNNI BF16 AMX";
        default:
                return "another";
        }
}

/* oneDNN's values are sets of bits: a larger set contains those it builds on. */
bool cpu_may_use_avx2(void) {
        return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2;
}

bool cpu_may_use_avx512(void) {
        return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

bool cpu_may_use_bf16(void) {
        return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) ==
               dnnl_cpu_isa_avx512_core_bf16;
}

void cpu_name(char ret_name[CPU_NAME_BYTES]) {
        static const char key[] = "model name";
        FILE *file = fopen("/proc/cpuinfo", "re");
        char line[512];

        strcpy(ret_name, "unknown");
        while (file && fgets(line, sizeof(line), file)) {
                const char *value = strchr(line, ':');

                if (strncmp(line, key, sizeof(key) - 1) != 0 || !value)
                        continue;
                value += 1 + strspn(value + 1, " ");
                snprintf(ret_name, CPU_NAME_BYTES, "%.*s", (int)strcspn(value, "\n"), value);
                break;
        }
        if (file)
                fclose(file);
        for (char *c = ret_name; *c; c++)
                if ((unsigned char)*c < ' ')
                        *c = '?';
}

static int first_object_has_interpreter(struct dl_phdr_info *info, size_t size, void *ret) {
        (void)size;
        for (size_t i = 0; i < info->dlpi_phnum; i++)
                if (info->dlpi_phdr[i].p_type == PT_INTERP)
                        *(bool *)ret = true;
        return 1; /* the first object is the program; no more */
}

/*
 * "ld.so PROGRAM ...", as wrappers of relocated trees do it: /proc/self/exe is then the loader, which would
 * take our first argument for a program. The kernel loads a program's interpreter at AT_BASE; there is none
 * where the interpreter was what it was told to execute.
 */
static bool started_by_loader(void) {
        bool has_interpreter = false;

        dl_iterate_phdr(first_object_has_interpreter, &has_interpreter);
        return has_interpreter && getauxval(AT_BASE) == 0;
}

void cpu_wait_passively(char **argv) {
        const char *path;

        /* Whoever sets one of these has chosen; the mark makes a second execution impossible. */
        if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || getenv(CPU_AGAIN_MARK))
                return;
        if (getauxval(AT_SECURE) || started_by_loader())
                return;
        if (setenv(CPU_AGAIN_MARK, "1", 1) < 0 || setenv("OMP_WAIT_POLICY", "PASSIVE", 1) < 0 ||
            setenv("GOMP_SPINCOUNT", CPU_SPIN_COUNT, 1) < 0)
                return;

        execv("/proc/self/exe", argv);
        /* Without /proc there is still the path that the kernel was given. */
        path = (const char *)getauxval(AT_EXECFN);
        if (path)
                execv(path, argv);
}
