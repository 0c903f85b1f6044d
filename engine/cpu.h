#pragma once
/* cpu: what the process may use of the machine. */
#include <stdbool.h>

/* CPUs in the affinity mask, no more than the cgroup's quota (v2 cpu.max, v1 cfs_quota) rounded up; at
 * least 1. */
unsigned cpu_count(void);

/* The instruction set that oneDNN dispatches to ("AVX2", "AVX-512 with VNNI", ...), ONEDNN_MAX_CPU_ISA
 * respected. */
const char *cpu_isa(void);

/*
 * Makes idle OpenMP threads sleep instead of spin: a spinning team starves its neighbours (476 ms against
 * 109 for ResNet-50 in two teams on two cores). libgomp reads OMP_WAIT_POLICY before main, so where it is
 * unset this sets it and executes /proc/self/exe again with argv. Returns where nothing had to be done, or
 * where that failed. Call first thing in main, before any thread.
 */
void cpu_wait_passively(char **argv);
