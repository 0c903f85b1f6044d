#pragma once
/*
 * allowance: what a model may take. Its file is untrusted, and a few bytes can ask for anything: each limit
 * is a fixed amount, which is far from what any real network needs, or grows with the constants that the
 * model brings along, so that large models are let through and small files stay small.
 *
 * For a file of under 256 KiB and one plan for one image, in MiB: 64 and 4 times the file to unpack it, 64
 * for what was read, 66 for constants made of others when it is opened and 66 in the plan, 132 packed, 256
 * and 64 for activations and the scratchpad, 512 of machine code: 1.25 GiB at most,
 * ALLOWANCE_SMALL_FILE_BYTES. A plan for more images may take that many times the activations; the batch is
 * the operator's choice, not the file's. tests/hostile holds the program to it.
 *
 * Time follows: machine code is generated at some 10 to 50 MB/s, folding walks over what graph_charge_work()
 * allows, and a run has ALLOWANCE_WORK operations.
 */
#include <stddef.h>

#define ALLOWANCE_SMALL_FILE_BYTES ((size_t)1280 << 20)

/* Machine code of one plan, by the estimates in kernel.c. The largest network of torchvision has some 1,000
 * kernels of 200 KiB. */
#define ALLOWANCE_CODE_BYTES ((size_t)512 << 20)

/* Constants in the layouts of kernels, for one plan. Kernels pad channels to 16, and Winograd's
 * transformation makes 36 numbers of 9. */
#define ALLOWANCE_PACKED_BASE_BYTES ((size_t)128 << 20)
#define ALLOWANCE_PACKED_FACTOR     16u

/* Activations, scratchpad and tables of a run, for each image. SqueezeNet, whose weights are the fewest for
 * its maps, takes 0.8 times its constants at 224x224 pixels and 66 times at 2048x2048. */
#define ALLOWANCE_RUN_BASE_BYTES ((size_t)256 << 20)
#define ALLOWANCE_RUN_FACTOR     256u
#define ALLOWANCE_RUN_MAX_BYTES                                                                             \
        ((size_t)8 << 30) /* 64 images in the largest network of torchvision take 2 GiB */

/* Multiplications, additions and bytes moved, for each image. A weight of 4 bytes is used once a pixel of
 * its map: 6,300 operations a byte at 112x112. */
#define ALLOWANCE_WORK_BASE     1e11
#define ALLOWANCE_WORK_PER_BYTE 1e5

struct allowance {
        size_t packed_bytes, run_bytes;
        double work;
};

/* constant_bytes: of the file's own constants; images: what the operator asked for, 1 where the file fixes
 * the batch. */
struct allowance allowance_of(size_t constant_bytes, size_t images);
