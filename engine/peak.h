#pragma once
/*
 * peak: how many float32 operations one core of this machine can do, measured.
 *
 * Independent chains of fused multiply-adds on registers, with the widest vectors that oneDNN may use as
 * well (ONEDNN_MAX_CPU_ISA is respected): what no kernel can exceed, but for the clock, which may differ
 * between moments. A fused multiply-add counts as two operations.
 */

/* Operations per second of the calling thread: the best of several trials, which take some 10 ms together.
 */
double peak_flop_per_s(void);
