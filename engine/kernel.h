#pragma once
/*
 * kernel: the one place that knows oneDNN (2.6 today): the difference to 3.x fits into layout.c, kernel.c
 * and call.c.
 *
 * A layout says how a tensor lies in memory, and of which type its elements are: float32 unless another one
 * is asked for. A kernel is compiled code for given layouts; it is
 * immutable. A call binds a kernel to addresses and may be executed by one thread at a time, again and
 * again, without allocating. Layouts and kernels belong to the struct kernels that made them and live as
 * long; a struct kernels is filled by one thread. All kernels of one struct kernels are for the same number
 * of threads.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/eltwise.h"
#include "engine/tensor.h"

struct kernels;
struct layout;
struct kernel;
struct call;

int kernels_new(struct kernels **ret_kernels, unsigned threads, struct error *error);
void kernels_free(struct kernels *kernels);
DEFINE_CLEANUP(kernels)

/* Makes the calling thread use as many OpenMP threads as the kernels were made for; before call_execute().
 */
void kernels_enter(const struct kernels *kernels);

/* "2.6.3", of the library that runs the kernels. */
const char *kernels_library_version(void);

unsigned kernels_threads(const struct kernels *kernels);

/* ---- layouts ---- */

/* NULL: out of memory. */
const struct layout *layout_plain(struct kernels *kernels, const struct shape *shape); /* row-major */
const struct layout *layout_strided(struct kernels *kernels, const struct shape *shape,
                                    const size_t *strides); /* in elements */
const struct layout *layout_channels_last(struct kernels *kernels,
                                          const struct shape *shape); /* [N, C, H, W] as NHWC */

const struct layout *layout_channel_blocks(struct kernels *kernels, const struct shape *shape,
                                           size_t block); /* [N, C, H, W] as N, C / block, H, W, block; block
                                                             8 or 16 */

/* Steps in elements through a feature map [N, C, H, W] for code of our own: to the next image, row, pixel,
 * and from one vector of lanes channels to the next. Channels within a vector are neighbours. */
struct map_strides {
        size_t image, row, pixel, step;
};

/* False where the channels of a vector are not neighbours, or where channels behind the last exist. */
bool layout_map_strides(const struct layout *layout, size_t lanes, struct map_strides *ret_strides);

/* [N, C, H, W] as NHWC, pixels this many elements apart: a slice of the channels of something larger. */
const struct layout *layout_pixels(struct kernels *kernels, const struct shape *shape, size_t pixel);

/* Elements from one pixel to the next of a layout of that kind; 0: it is of another kind. */
size_t layout_pixel(const struct layout *layout);

/* [columns, rows, 1, 1]: columns in panels of 32, [columns / 32, rows, 32], the last one padded with zeros.
 */
const struct layout *layout_panels_of_32(struct kernels *kernels, const struct shape *shape);

enum dtype layout_dtype(const struct layout *layout);

/* The same arrangement of elements of another type: F32, BF16, F16, I32, I8 or U8. NULL stays NULL. */
const struct layout *layout_as(struct kernels *kernels, const struct layout *layout, enum dtype dtype);

bool layout_equal(const struct layout *a, const struct layout *b);
size_t layout_bytes(const struct layout *layout);
struct shape layout_shape(const struct layout *layout);

/* The dimension along which the first and the last element lie farthest apart: a range of it is one piece of
 * memory where the layout has no gaps. */
size_t layout_outermost(const struct layout *layout);

/* Indexes of a dimension that lie together in blocks; 1: none. Parts begin at multiples of it. */
size_t layout_block(const struct layout *layout, size_t dim);

/* Indexes [first, first + n) of a dimension, at the address of the whole layout; NULL: that is no layout. */
const struct layout *layout_part(struct kernels *kernels, const struct layout *layout, size_t dim,
                                 size_t first, size_t n);

/* "1x64x112x112 aBcd8b", "1x64x112x112 u8 acdb". */
#define LAYOUT_TEXT_BYTES 256u
const char *layout_text(const struct layout *layout, char buffer[LAYOUT_TEXT_BYTES]);

/* A copy that outlives its struct kernels; free with layout_free(). */
struct layout *layout_copy(const struct layout *layout);
void layout_free(struct layout *layout);

/* ---- kernels ---- */

/* What follows the main operation on its result. A sum adds what the destination held before. */
struct kernel_post_op {
        bool sum;
        struct eltwise eltwise;
};

struct kernel_post_ops {
        struct kernel_post_op ops[4];
        size_t n;
};

/* Arguments in the order in which a call takes their addresses; the destination is last. */
size_t kernel_n_args(const struct kernel *kernel);
const struct layout *kernel_layout(const struct kernel *kernel, size_t arg);
const char *kernel_name(const struct kernel *kernel); /* oneDNN's own name of the implementation */

/* Is it one that oneDNN has for no CPU in particular ("ref:any", "simple:any", "gemm:ref")? They compute one
 * element after the other: up to a thousand times as slow as they could be. */
bool kernel_is_reference(const struct kernel *kernel);
size_t kernel_scratch_bytes(const struct kernel *kernel);

/* A window sliding over height and width, in this order. */
struct kernel_window {
        size_t kernel[2], strides[2], dilations[2]; /* dilation 1: none */
        int64_t pads_begin[2], pads_end[2]; /* what makes the output exactly as large as the caller says */
};

struct kernel_conv {
        struct shape src, dst; /* [N, C, H, W] */
        size_t groups;
        struct kernel_window window;
        bool bias;
        const struct layout *src_layout,
                *dst_layout;        /* NULL: the kernel chooses; weights are of src's type */
        const char *implementation; /* kernel_name() of one of those that can do it; NULL: oneDNN's choice */
        bool winograd;              /* by oneDNN's own Winograd filtering, which it has on AVX-512 */
        struct kernel_post_ops post_ops;
};

/* Arguments: src, weights ([O, I, kh, kw], or [G, O/G, I/G, kh, kw] where groups > 1), bias [O] where asked
 * for, dst. */
int kernel_conv_new(const struct kernel **ret_kernel, struct kernels *kernels,
                    const struct kernel_conv *conv, struct error *error);

/* Names of the implementations that can do conv, oneDNN's choice first, at most max of them; they live as
 * long as the process. Implementations for no CPU in particular ("ref", "gemm:ref") are left out, unless
 * there is nothing else. */
size_t kernel_conv_implementations(struct kernels *kernels, const struct kernel_conv *conv,
                                   const char **ret_names, size_t max);

/* Arguments: src [M, K], weights [N, K], bias [N] where asked for, dst [M, N]. */
int kernel_inner_product_new(const struct kernel **ret_kernel, struct kernels *kernels,
                             const struct shape *src, size_t n_outputs, bool bias,
                             const struct kernel_post_ops *post_ops, struct error *error);

/* Arguments: a [..., M, K], b [..., K, N], dst; batch dimensions equal or 1. */
int kernel_matmul_new(const struct kernel **ret_kernel, struct kernels *kernels, const struct layout *a,
                      const struct layout *b, const struct shape *dst, struct error *error);

enum kernel_pool_kind { KERNEL_POOL_MAX, KERNEL_POOL_AVERAGE, KERNEL_POOL_AVERAGE_WITH_PADDING };

struct kernel_pool {
        enum kernel_pool_kind kind;
        struct shape dst; /* [N, C, H, W] */
        struct kernel_window window;
        const struct layout *src_layout;
};

/* Arguments: src, dst. */
int kernel_pool_new(const struct kernel **ret_kernel, struct kernels *kernels,
                    const struct kernel_pool *pool, struct error *error);

/* Arguments: src, dst in the same layout; may be the same address. */
int kernel_eltwise_new(const struct kernel **ret_kernel, struct kernels *kernels,
                       const struct layout *layout, const struct eltwise *eltwise, struct error *error);

enum kernel_binary_kind { KERNEL_BINARY_ADD, KERNEL_BINARY_SUB, KERNEL_BINARY_MUL, KERNEL_BINARY_DIV };

/* Arguments: a, b (dimensions equal to a's or 1), dst in a's layout; a and dst may be the same address. */
int kernel_binary_new(const struct kernel **ret_kernel, struct kernels *kernels,
                      enum kernel_binary_kind kind, const struct layout *a, const struct layout *b,
                      struct error *error);

/* Arguments: the sources, dst. */
#define KERNEL_CONCAT_MAX 64u
int kernel_concat_new(const struct kernel **ret_kernel, struct kernels *kernels,
                      const struct layout *const *srcs, size_t n_srcs, size_t axis, struct error *error);

/* Arguments: src, dst in the same layout; may be the same address. */
int kernel_softmax_new(const struct kernel **ret_kernel, struct kernels *kernels,
                       const struct layout *layout, size_t axis, struct error *error);

/* Mean over the dimensions where dst's is 1. Arguments: src, dst. */
int kernel_mean_new(const struct kernel **ret_kernel, struct kernels *kernels, const struct layout *src,
                    const struct shape *dst, struct error *error);

/* Copies into another layout of the same shape; between float32 and bfloat16 with rounding to the nearest
 * even one. Integers are numbers here, whatever they stand for. Arguments: src, dst. */
int kernel_reorder_new(const struct kernel **ret_kernel, struct kernels *kernels, const struct layout *src,
                       const struct layout *dst, struct error *error);

/*
 * Own code as a kernel. function gets the addresses in the order of layouts and must not fail; params are
 * copied.
 */
typedef void kernel_native(const void *params, void *const *addresses);
int kernel_native_new(const struct kernel **ret_kernel, struct kernels *kernels, const char *name,
                      kernel_native *function, const void *params, size_t params_bytes,
                      const struct layout *const *layouts, size_t n_layouts, struct error *error);

/* As kernel_native_new(), for code that needs memory while it runs: its address comes after the others. */
int kernel_native_scratch_new(const struct kernel **ret_kernel, struct kernels *kernels, const char *name,
                              kernel_native *function, const void *params, size_t params_bytes,
                              const struct layout *const *layouts, size_t n_layouts, size_t scratch_bytes,
                              struct error *error);

/* ---- calls ---- */

/* addresses: kernel_n_args() of them, aligned to 64 bytes for speed; scratch: kernel_scratch_bytes(). */
int call_new(struct call **ret_call, const struct kernel *kernel, void *const *addresses, void *scratch,
             struct error *error);
void call_free(struct call *call);
DEFINE_CLEANUP(call)

int call_execute(struct call *call, struct error *error);
