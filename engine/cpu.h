#pragma once
/* cpu: what the process may use of the machine. */
#include <stdbool.h>

/* CPUs in the affinity mask, no more than the cgroup's quota (v2 cpu.max, v1 cfs_quota) rounded up; at
 * least 1. */
unsigned cpu_count(void);

/* The instruction set that oneDNN dispatches to ("AVX2", "AVX-512 with VNNI", ...), ONEDNN_MAX_CPU_ISA
 * respected. */
const char *cpu_isa(void);

/* May own code use these? Each implies FMA; what ONEDNN_MAX_CPU_ISA forbids oneDNN, own code does not use
 * either. */
bool cpu_may_use_avx2(void);
bool cpu_may_use_avx512(void); /* F, BW, DQ, VL */
bool cpu_may_use_bf16(void);   /* AVX512_BF16, and all that AVX-512 means above */

/* What the kernel calls the CPU ("AMD EPYC 9R14"), control characters replaced; "unknown" where it does not
 * say. */
#define CPU_NAME_BYTES 96u
void cpu_name(char ret_name[CPU_NAME_BYTES]);

/*
 * Makes idle OpenMP threads sleep soon. A team that spins for long starves its neighbours, one that sleeps
 * at once is slow alone. Medians of ResNet-50 in two processes of two threads each on two AVX2 cores, and of
 * EfficientNet-Lite0 alone: libgomp's default 465 ms; OMP_WAIT_POLICY=passive (0 spins) 124 and 13.9 ms;
 * 2000 spins 124 and 6.7 ms; 10000 spins 150 and 6.5 ms. libgomp reads its environment before main, so where
 * neither OMP_WAIT_POLICY nor GOMP_SPINCOUNT is set this sets both and executes /proc/self/exe again with
 * argv. Returns where nothing had to be done, or where that failed. Call first thing in main, before any
 * thread.
 */
void cpu_wait_passively(char **argv);
