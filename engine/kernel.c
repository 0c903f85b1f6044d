#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/allowance.h"
#include "engine/kernel_internal.h"
#include "engine/team.h"

/* From libgomp, with which Debian's oneDNN is built; declared here because clang brings no omp.h without its
 * own runtime. */
void omp_set_num_threads(int n);

int dnnl_failed(dnnl_status_t status, const char *what, struct error *error) {
        static const char *const texts[] = {
                [dnnl_success] = "success",
                [dnnl_out_of_memory] = "out of memory",
                [dnnl_invalid_arguments] = "invalid arguments",
                [dnnl_unimplemented] = "not implemented for these shapes on this CPU",
        };
        int code = status == dnnl_out_of_memory   ? ERROR_NO_MEMORY
                   : status == dnnl_unimplemented ? ERROR_UNSUPPORTED
                                                  : ERROR_INTERNAL;

        return error_set(error, code, "oneDNN %s: %s", what,
                         (size_t)status < ARRAY_SIZE(texts) && texts[status] ? texts[status] : "failed");
}

int kernels_new(struct kernels **ret_kernels, unsigned threads, struct error *error) {
        _cleanup_(kernels_freep) struct kernels *kernels = calloc(1, sizeof(*kernels));
        dnnl_status_t status;

        if (!kernels)
                return error_no_memory(error);
        kernels->threads = threads;
        kernels->pool = pool_new();
        if (!kernels->pool)
                return error_no_memory(error);
        status = dnnl_engine_create(&kernels->engine, dnnl_cpu, 0);
        if (status != dnnl_success)
                return dnnl_failed(status, "engine", error);
        *ret_kernels = steal_ptr(&kernels);
        return 0;
}

void kernels_free(struct kernels *kernels) {
        for (struct kernel *kernel = kernels->all; kernel; kernel = kernel->next)
                if (kernel->primitive)
                        dnnl_primitive_destroy(kernel->primitive);
        if (kernels->engine)
                dnnl_engine_destroy(kernels->engine);
        if (kernels->pool)
                pool_free(kernels->pool);
        free(kernels);
}

void kernels_enter(const struct kernels *kernels) {
        omp_set_num_threads((int)kernels->threads);
}

const char *kernels_library_version(void) {
        static _Thread_local char text[32];
        const dnnl_version_t *version = dnnl_version();

        snprintf(text, sizeof(text), "%d.%d.%d", version->major, version->minor, version->patch);
        return text;
}

unsigned kernels_threads(const struct kernels *kernels) {
        return kernels->threads;
}

static int kernel_add(struct kernel **ret_kernel, struct kernels *kernels, const struct kernel_arg *args,
                      size_t n_args, struct error *error) {
        struct kernel *kernel = pool_allocate(kernels->pool, 1, sizeof(*kernel));
        struct kernel_arg *copy = pool_copy(kernels->pool, args, n_args, sizeof(*args));

        if (!kernel || !copy)
                return error_no_memory(error);
        *kernel = (struct kernel){.kernels = kernels, .n_args = n_args, .args = copy, .next = kernels->all};
        kernels->all = kernel;
        *ret_kernel = kernel;
        return 0;
}

/* What the machine code of a kernel takes at most, as measured with oneDNN 2.6: kernels of matrices as any;
 * a convolution's code for AVX-512 grows with the columns of its output and with those of its window. The
 * time that generating it takes grows with it. */
#define CODE_BYTES        ((size_t)64 << 10)
#define CODE_CONV_BYTES   ((size_t)64 << 10)
#define CODE_COLUMN_BYTES ((size_t)4 << 10)
#define CODE_WINDOW_BYTES ((size_t)12 << 10)
#define CODE_TAP_BYTES    256u               /* no code, but choosing blocks for 1024x1024 taps takes 10 s */
#define CODE_NATIVE_BYTES ((size_t)32 << 10) /* none, but arranging the arena takes steps squared */

static int kernels_charge(struct kernels *kernels, size_t bytes, struct error *error) {
        if (bytes > ALLOWANCE_CODE_BYTES || kernels->code_bytes > ALLOWANCE_CODE_BYTES - bytes)
                return error_set(
                        error, ERROR_LIMIT,
                        "the network has too many kernels: more than %zu MiB of machine code, by estimate",
                        ALLOWANCE_CODE_BYTES >> 20);
        kernels->code_bytes += bytes;
        return 0;
}

static void primitive_descp(dnnl_primitive_desc_t *pd) {
        if (*pd)
                dnnl_primitive_desc_destroy(*pd);
}

static void attrp(dnnl_primitive_attr_t *attr) {
        if (*attr)
                dnnl_primitive_attr_destroy(*attr);
}

static void post_opsp(dnnl_post_ops_t *post_ops) {
        if (*post_ops)
                dnnl_post_ops_destroy(*post_ops);
}

static dnnl_alg_kind_t eltwise_alg(enum eltwise_kind kind) {
        static const dnnl_alg_kind_t algs[] = {
                [ELTWISE_RELU] = dnnl_eltwise_relu,
                [ELTWISE_CLIP] = dnnl_eltwise_clip,
                [ELTWISE_SIGMOID] = dnnl_eltwise_logistic,
                [ELTWISE_SWISH] = dnnl_eltwise_swish,
                [ELTWISE_HARDSWISH] = dnnl_eltwise_hardswish,
                [ELTWISE_LINEAR] = dnnl_eltwise_linear,
                [ELTWISE_TANH] = dnnl_eltwise_tanh,
                [ELTWISE_ELU] = dnnl_eltwise_elu,
                [ELTWISE_EXP] = dnnl_eltwise_exp,
                [ELTWISE_LOG] = dnnl_eltwise_log,
                [ELTWISE_SQRT] = dnnl_eltwise_sqrt,
                [ELTWISE_ABS] = dnnl_eltwise_abs,
                [ELTWISE_GELU_ERF] = dnnl_eltwise_gelu_erf,
        };

        return algs[kind];
}

/* The attributes of the next kernel. oneDNN divides the work of a kernel among the threads that the calling
 * thread may use when the descriptor is made, so this sets them. */
static int attr_new(dnnl_primitive_attr_t *ret_attr, const struct kernels *kernels,
                    const struct kernel_post_ops *post_ops, struct error *error) {
        _cleanup_(attrp) dnnl_primitive_attr_t attr = NULL;
        _cleanup_(post_opsp) dnnl_post_ops_t ops = NULL;
        dnnl_status_t status;

        kernels_enter(kernels);
        status = dnnl_primitive_attr_create(&attr);
        if (status == dnnl_success)
                status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
        if (status == dnnl_success && post_ops && post_ops->n > 0) {
                status = dnnl_post_ops_create(&ops);
                for (size_t i = 0; i < post_ops->n && status == dnnl_success; i++) {
                        const struct kernel_post_op *op = &post_ops->ops[i];

                        status =
                                op->sum ? dnnl_post_ops_append_sum(ops, 1)
                                        : dnnl_post_ops_append_eltwise(ops, 1, eltwise_alg(op->eltwise.kind),
                                                                       op->eltwise.alpha, op->eltwise.beta);
                }
                if (status == dnnl_success)
                        status = dnnl_primitive_attr_set_post_ops(attr, ops);
        }
        if (status != dnnl_success)
                return dnnl_failed(status, "attributes", error);
        *ret_attr = steal_ptr(&attr);
        return 0;
}

/* Finishes a kernel from a primitive descriptor; roles: DNNL_ARG_..., in the order of the kernel's
 * arguments. */
static int kernel_from_pd(const struct kernel **ret_kernel, struct kernels *kernels,
                          dnnl_primitive_desc_t pd, const int *roles, size_t n_roles, struct error *error) {
        struct kernel_arg args[KERNEL_MAX_ARGS];
        const dnnl_memory_desc_t *scratch;
        struct kernel *kernel;
        const char *name = NULL;
        dnnl_status_t status;
        int r;

        for (size_t i = 0; i < n_roles; i++) {
                const dnnl_memory_desc_t *md =
                        dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, roles[i]);

                if (!md)
                        return error_set(error, ERROR_INTERNAL, "oneDNN: no descriptor of argument %d",
                                         roles[i]);
                args[i] = (struct kernel_arg){.role = roles[i], .layout = layout_from_md(kernels, md)};
                if (!args[i].layout)
                        return error_no_memory(error);
        }
        r = kernels_charge(kernels, CODE_BYTES, error);
        if (r >= 0)
                r = kernel_add(&kernel, kernels, args, n_roles, error);
        if (r < 0)
                return r;

        scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        if (scratch && dnnl_memory_desc_get_size(scratch) > 0) {
                kernel->scratch = layout_from_md(kernels, scratch);
                kernel->scratch_bytes = dnnl_memory_desc_get_size(scratch);
                if (!kernel->scratch)
                        return error_no_memory(error);
        }
        dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
        kernel->name = pool_string(kernels->pool, name ? name : "?");
        if (!kernel->name)
                return error_no_memory(error);

        status = dnnl_primitive_create(&kernel->primitive, pd);
        if (status != dnnl_success)
                return dnnl_failed(status, "primitive", error);
        *ret_kernel = kernel;
        return 0;
}

static int kernel_from_desc(const struct kernel **ret_kernel, struct kernels *kernels,
                            const_dnnl_op_desc_t desc, const struct kernel_post_ops *post_ops,
                            const int *roles, size_t n_roles, const char *what, struct error *error) {
        _cleanup_(primitive_descp) dnnl_primitive_desc_t pd = NULL;
        _cleanup_(attrp) dnnl_primitive_attr_t attr = NULL;
        dnnl_status_t status;
        int r;

        r = attr_new(&attr, kernels, post_ops, error);
        if (r < 0)
                return r;
        status = dnnl_primitive_desc_create(&pd, desc, attr, kernels->engine, NULL);
        if (status != dnnl_success)
                return dnnl_failed(status, what, error);
        return kernel_from_pd(ret_kernel, kernels, pd, roles, n_roles, error);
}

static dnnl_status_t md_any_of(dnnl_memory_desc_t *md, const struct shape *shape, dnnl_data_type_t type) {
        dnnl_dims_t dims;

        dims_from_shape(dims, shape);
        return dnnl_memory_desc_init_by_tag(md, (int)shape->rank, dims, type, dnnl_format_tag_any);
}

static dnnl_status_t md_any(dnnl_memory_desc_t *md, const struct shape *shape) {
        return md_any_of(md, shape, dnnl_f32);
}

/* Strides, kernel, dilations and pads of a window over height and width, in oneDNN's types. */
struct window_dims {
        dnnl_dims_t kernel, strides, dilations, pads_begin, pads_end;
};

static struct window_dims window_dims(const struct kernel_window *window) {
        struct window_dims dims = {0};

        for (size_t i = 0; i < 2; i++) {
                dims.kernel[i] = (dnnl_dim_t)window->kernel[i];
                dims.strides[i] = (dnnl_dim_t)window->strides[i];
                dims.dilations[i] = (dnnl_dim_t)window->dilations[i] - 1;
                dims.pads_begin[i] = window->pads_begin[i];
                dims.pads_end[i] = window->pads_end[i];
        }
        return dims;
}

static int conv_describe(dnnl_convolution_desc_t *ret_desc, const struct kernel_conv *conv,
                         struct error *error) {
        struct shape weights = {.rank = 4,
                                .dims = {conv->dst.dims[1], conv->src.dims[1] / conv->groups,
                                         conv->window.kernel[0], conv->window.kernel[1]}};
        struct shape grouped = {.rank = 5,
                                .dims = {conv->groups, conv->dst.dims[1] / conv->groups,
                                         conv->src.dims[1] / conv->groups, conv->window.kernel[0],
                                         conv->window.kernel[1]}};
        struct shape bias = {.rank = 1, .dims = {conv->dst.dims[1]}};
        dnnl_memory_desc_t src_md, weights_md, bias_md, dst_md;
        struct window_dims window = window_dims(&conv->window);
        dnnl_status_t status;

        status = md_any(&src_md, &conv->src);
        if (conv->src_layout)
                src_md = conv->src_layout->md;
        if (status == dnnl_success)
                status = md_any_of(&weights_md, conv->groups > 1 ? &grouped : &weights, src_md.data_type);
        if (status == dnnl_success)
                status = md_any(&bias_md, &bias);
        if (status == dnnl_success)
                status = md_any(&dst_md, &conv->dst);
        if (conv->dst_layout)
                dst_md = conv->dst_layout->md;
        if (status == dnnl_success)
                status = dnnl_dilated_convolution_forward_desc_init(
                        ret_desc, dnnl_forward_inference,
                        conv->winograd ? dnnl_convolution_winograd : dnnl_convolution_direct, &src_md,
                        &weights_md, conv->bias ? &bias_md : NULL, &dst_md, window.strides, window.dilations,
                        window.pads_begin, window.pads_end);
        return status == dnnl_success ? 0 : dnnl_failed(status, "convolution", error);
}

static void iteratorp(dnnl_primitive_desc_iterator_t *iterator) {
        if (*iterator)
                dnnl_primitive_desc_iterator_destroy(*iterator);
}

/* Implementations in oneDNN's order of preference. *ret_iterator is at the first; it refers to *desc as long
 * as it lives. */
static int conv_iterate(dnnl_primitive_desc_iterator_t *ret_iterator, dnnl_convolution_desc_t *desc,
                        struct kernels *kernels, const struct kernel_conv *conv, struct error *error) {
        _cleanup_(attrp) dnnl_primitive_attr_t attr = NULL;
        dnnl_status_t status;
        int r;

        r = kernels_charge(kernels, CODE_TAP_BYTES * conv->window.kernel[0] * conv->window.kernel[1], error);
        if (r >= 0)
                r = conv_describe(desc, conv, error);
        if (r >= 0)
                r = attr_new(&attr, kernels, &conv->post_ops, error);
        if (r < 0)
                return r;
        status = dnnl_primitive_desc_iterator_create(ret_iterator, desc, attr, kernels->engine, NULL);
        return status == dnnl_success ? 0 : dnnl_failed(status, "convolution", error);
}

static const char *implementation_name(const_dnnl_primitive_desc_t pd) {
        const char *name = NULL;

        dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
        return name ? name : "?";
}

/* The primitive descriptor of the implementation that conv names, or of the first. */
static int conv_find(dnnl_primitive_desc_t *ret_pd, struct kernels *kernels, const struct kernel_conv *conv,
                     struct error *error) {
        _cleanup_(iteratorp) dnnl_primitive_desc_iterator_t iterator = NULL;
        dnnl_convolution_desc_t desc;
        int r;

        r = conv_iterate(&iterator, &desc, kernels, conv, error);
        if (r < 0)
                return r;
        do {
                _cleanup_(primitive_descp) dnnl_primitive_desc_t pd =
                        dnnl_primitive_desc_iterator_fetch(iterator);

                if (pd &&
                    (!conv->implementation || strcmp(implementation_name(pd), conv->implementation) == 0)) {
                        *ret_pd = steal_ptr(&pd);
                        return 0;
                }
        } while (dnnl_primitive_desc_iterator_next(iterator) == dnnl_success);
        return error_set(error, ERROR_UNSUPPORTED, "oneDNN convolution: no implementation '%s' here",
                         conv->implementation ? conv->implementation : "");
}

size_t kernel_conv_implementations(struct kernels *kernels, const struct kernel_conv *conv,
                                   const char **ret_names, size_t max) {
        _cleanup_(iteratorp) dnnl_primitive_desc_iterator_t iterator = NULL;
        dnnl_convolution_desc_t desc;
        size_t n = 0;

        if (conv_iterate(&iterator, &desc, kernels, conv, NULL) < 0)
                return 0;
        do {
                _cleanup_(primitive_descp) dnnl_primitive_desc_t pd =
                        dnnl_primitive_desc_iterator_fetch(iterator);
                const char *name = pd ? implementation_name(pd) : "";

                if (pd && (n == 0 || !strstr(name, "ref")))
                        ret_names[n++] = name;
        } while (n < max && dnnl_primitive_desc_iterator_next(iterator) == dnnl_success);
        return n;
}

int kernel_conv_new(const struct kernel **ret_kernel, struct kernels *kernels,
                    const struct kernel_conv *conv, struct error *error) {
        _cleanup_(primitive_descp) dnnl_primitive_desc_t pd = NULL;
        bool depthwise =
                conv->groups > 1 && conv->groups == conv->src.dims[1] && conv->groups == conv->dst.dims[1];
        int r;

        r = kernels_charge(kernels,
                           CODE_CONV_BYTES + (depthwise ? 0 : CODE_COLUMN_BYTES * conv->dst.dims[3]) +
                                   CODE_WINDOW_BYTES * conv->window.kernel[1],
                           error);
        if (r >= 0)
                r = conv_find(&pd, kernels, conv, error);
        if (r < 0)
                return r;
        return conv->bias
                       ? kernel_from_pd(ret_kernel, kernels, pd,
                                        (int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
                                        4, error)
                       : kernel_from_pd(ret_kernel, kernels, pd,
                                        (int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 3, error);
}

int kernel_inner_product_new(const struct kernel **ret_kernel, struct kernels *kernels,
                             const struct shape *src, size_t n_outputs, bool bias,
                             const struct kernel_post_ops *post_ops, struct error *error) {
        struct shape weights = {.rank = 2, .dims = {n_outputs, src->dims[1]}};
        struct shape bias_shape = {.rank = 1, .dims = {n_outputs}};
        struct shape dst = {.rank = 2, .dims = {src->dims[0], n_outputs}};
        dnnl_memory_desc_t src_md, weights_md, bias_md, dst_md;
        dnnl_inner_product_desc_t desc;
        dnnl_status_t status;

        status = md_any(&src_md, src);
        if (status == dnnl_success)
                status = md_any(&weights_md, &weights);
        if (status == dnnl_success)
                status = md_any(&bias_md, &bias_shape);
        if (status == dnnl_success)
                status = md_any(&dst_md, &dst);
        if (status == dnnl_success)
                status = dnnl_inner_product_forward_desc_init(&desc, dnnl_forward_inference, &src_md,
                                                              &weights_md, bias ? &bias_md : NULL, &dst_md);
        if (status != dnnl_success)
                return dnnl_failed(status, "inner product", error);
        return bias ? kernel_from_desc(ret_kernel, kernels, &desc, post_ops,
                                       (int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
                                       4, "inner product", error)
                    : kernel_from_desc(ret_kernel, kernels, &desc, post_ops,
                                       (int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 3,
                                       "inner product", error);
}

int kernel_matmul_new(const struct kernel **ret_kernel, struct kernels *kernels, const struct layout *a,
                      const struct layout *b, const struct shape *dst, struct error *error) {
        const struct layout *dst_layout = layout_plain(kernels, dst);
        dnnl_matmul_desc_t desc;
        dnnl_status_t status;

        if (!dst_layout)
                return error_no_memory(error);
        status = dnnl_matmul_desc_init(&desc, &a->md, &b->md, NULL, &dst_layout->md);
        if (status != dnnl_success)
                return dnnl_failed(status, "matmul", error);
        return kernel_from_desc(ret_kernel, kernels, &desc, NULL,
                                (int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 3, "matmul", error);
}

int kernel_pool_new(const struct kernel **ret_kernel, struct kernels *kernels,
                    const struct kernel_pool *pool, struct error *error) {
        static const dnnl_alg_kind_t algs[] = {
                [KERNEL_POOL_MAX] = dnnl_pooling_max,
                [KERNEL_POOL_AVERAGE] = dnnl_pooling_avg_exclude_padding,
                [KERNEL_POOL_AVERAGE_WITH_PADDING] = dnnl_pooling_avg_include_padding,
        };
        struct window_dims window = window_dims(&pool->window);
        dnnl_memory_desc_t dst_md;
        dnnl_pooling_v2_desc_t desc;
        dnnl_status_t status;

        status = md_any_of(&dst_md, &pool->dst, pool->src_layout->md.data_type);
        if (status == dnnl_success)
                status = dnnl_pooling_v2_forward_desc_init(
                        &desc, dnnl_forward_inference, algs[pool->kind], &pool->src_layout->md, &dst_md,
                        window.strides, window.kernel, window.dilations, window.pads_begin, window.pads_end);
        if (status != dnnl_success)
                return dnnl_failed(status, "pooling", error);
        return kernel_from_desc(ret_kernel, kernels, &desc, NULL, (int[]){DNNL_ARG_SRC, DNNL_ARG_DST}, 2,
                                "pooling", error);
}

int kernel_eltwise_new(const struct kernel **ret_kernel, struct kernels *kernels,
                       const struct layout *layout, const struct eltwise *eltwise, struct error *error) {
        dnnl_eltwise_desc_t desc;
        dnnl_status_t status;

        status = dnnl_eltwise_forward_desc_init(&desc, dnnl_forward_inference, eltwise_alg(eltwise->kind),
                                                &layout->md, eltwise->alpha, eltwise->beta);
        if (status != dnnl_success)
                return dnnl_failed(status, "eltwise", error);
        return kernel_from_desc(ret_kernel, kernels, &desc, NULL, (int[]){DNNL_ARG_SRC, DNNL_ARG_DST}, 2,
                                "eltwise", error);
}

int kernel_binary_new(const struct kernel **ret_kernel, struct kernels *kernels,
                      enum kernel_binary_kind kind, const struct layout *a, const struct layout *b,
                      struct error *error) {
        static const dnnl_alg_kind_t algs[] = {
                [KERNEL_BINARY_ADD] = dnnl_binary_add,
                [KERNEL_BINARY_SUB] = dnnl_binary_sub,
                [KERNEL_BINARY_MUL] = dnnl_binary_mul,
                [KERNEL_BINARY_DIV] = dnnl_binary_div,
        };
        dnnl_binary_desc_t desc;
        dnnl_status_t status;

        status = dnnl_binary_desc_init(&desc, algs[kind], &a->md, &b->md, &a->md);
        if (status != dnnl_success)
                return dnnl_failed(status, "binary", error);
        return kernel_from_desc(ret_kernel, kernels, &desc, NULL,
                                (int[]){DNNL_ARG_SRC_0, DNNL_ARG_SRC_1, DNNL_ARG_DST}, 3, "binary", error);
}

int kernel_concat_new(const struct kernel **ret_kernel, struct kernels *kernels,
                      const struct layout *const *srcs, size_t n_srcs, size_t axis, struct error *error) {
        _cleanup_(primitive_descp) dnnl_primitive_desc_t pd = NULL;
        _cleanup_(attrp) dnnl_primitive_attr_t attr = NULL;
        dnnl_memory_desc_t mds[KERNEL_CONCAT_MAX];
        int roles[KERNEL_CONCAT_MAX + 1];
        dnnl_status_t status;
        int r;

        for (size_t i = 0; i < n_srcs; i++) {
                mds[i] = srcs[i]->md;
                roles[i] = DNNL_ARG_MULTIPLE_SRC + (int)i;
        }
        roles[n_srcs] = DNNL_ARG_DST;
        r = attr_new(&attr, kernels, NULL, error);
        if (r < 0)
                return r;
        status = dnnl_concat_primitive_desc_create(&pd, NULL, (int)n_srcs, (int)axis, mds, attr,
                                                   kernels->engine);
        if (status != dnnl_success)
                return dnnl_failed(status, "concat", error);
        return kernel_from_pd(ret_kernel, kernels, pd, roles, n_srcs + 1, error);
}

int kernel_softmax_new(const struct kernel **ret_kernel, struct kernels *kernels,
                       const struct layout *layout, size_t axis, struct error *error) {
        dnnl_softmax_desc_t desc;
        dnnl_status_t status;

        status = dnnl_softmax_forward_desc_init(&desc, dnnl_forward_inference, &layout->md, (int)axis);
        if (status != dnnl_success)
                return dnnl_failed(status, "softmax", error);
        return kernel_from_desc(ret_kernel, kernels, &desc, NULL, (int[]){DNNL_ARG_SRC, DNNL_ARG_DST}, 2,
                                "softmax", error);
}

int kernel_mean_new(const struct kernel **ret_kernel, struct kernels *kernels, const struct layout *src,
                    const struct shape *dst, struct error *error) {
        const struct layout *dst_layout = layout_plain(kernels, dst);
        dnnl_reduction_desc_t desc;
        dnnl_status_t status;

        if (!dst_layout)
                return error_no_memory(error);
        status = dnnl_reduction_desc_init(&desc, dnnl_reduction_mean, &src->md, &dst_layout->md, 0, 0);
        if (status != dnnl_success)
                return dnnl_failed(status, "reduction", error);
        return kernel_from_desc(ret_kernel, kernels, &desc, NULL, (int[]){DNNL_ARG_SRC, DNNL_ARG_DST}, 2,
                                "reduction", error);
}

struct copy {
        size_t bytes, threads;
};

struct copy_job {
        const struct copy *copy;
        const char *src;
        char *dst;
};

static void copy_part(void *argument, size_t thread, size_t n_threads) {
        const struct copy_job *job = argument;
        size_t begin, end;

        team_share(job->copy->bytes, thread, n_threads, &begin, &end);
        memcpy(job->dst + begin, job->src + begin, end - begin);
}

static void copy_run(const void *params, void *const *addresses) {
        const struct copy *copy = params;
        struct copy_job job = {copy, addresses[0], addresses[1]};

        if (copy->threads == 1)
                copy_part(&job, 0, 1);
        else
                team_run(copy->threads, copy_part, &job);
}

#define COPY_LEAST_BYTES ((size_t)1 << 18) /* for a team: less takes a core some 10 us */

int kernel_reorder_new(const struct kernel **ret_kernel, struct kernels *kernels, const struct layout *src,
                       const struct layout *dst, struct error *error) {
        struct copy copy = {.bytes = layout_bytes(src),
                            .threads = layout_bytes(src) < COPY_LEAST_BYTES ? 1 : kernels->threads};
        struct shape shape = layout_shape(src);
        _cleanup_(primitive_descp) dnnl_primitive_desc_t pd = NULL;
        _cleanup_(attrp) dnnl_primitive_attr_t attr = NULL;
        dnnl_status_t status;
        int r;

        /* Without gaps it is one piece. */
        if (layout_equal(src, dst) && copy.bytes == shape_elements(&shape) * dtype_bytes(layout_dtype(src)))
                return kernel_native_new(ret_kernel, kernels, "native:copy", copy_run, &copy, sizeof(copy),
                                         (const struct layout *[]){src, dst}, 2, error);
        r = attr_new(&attr, kernels, NULL, error);
        if (r < 0)
                return r;
        status = dnnl_reorder_primitive_desc_create(&pd, &src->md, kernels->engine, &dst->md,
                                                    kernels->engine, attr);
        if (status != dnnl_success)
                return dnnl_failed(status, "reorder", error);
        return kernel_from_pd(ret_kernel, kernels, pd, (int[]){DNNL_ARG_FROM, DNNL_ARG_TO}, 2, error);
}

int kernel_native_scratch_new(const struct kernel **ret_kernel, struct kernels *kernels, const char *name,
                              kernel_native *function, const void *params, size_t params_bytes,
                              const struct layout *const *layouts, size_t n_layouts, size_t scratch_bytes,
                              struct error *error) {
        struct kernel_arg args[KERNEL_MAX_ARGS];
        struct kernel *kernel;
        int r;

        for (size_t i = 0; i < n_layouts; i++)
                args[i] = (struct kernel_arg){.layout = layouts[i]};
        r = kernels_charge(kernels, CODE_NATIVE_BYTES, error);
        if (r < 0)
                return r;
        r = kernel_add(&kernel, kernels, args, n_layouts, error);
        if (r < 0)
                return r;
        kernel->native = function;
        kernel->scratch_bytes = scratch_bytes;
        kernel->name = pool_string(kernels->pool, name);
        kernel->params = pool_copy(kernels->pool, params, 1, params_bytes);
        if (!kernel->name || !kernel->params)
                return error_no_memory(error);
        *ret_kernel = kernel;
        return 0;
}

int kernel_native_new(const struct kernel **ret_kernel, struct kernels *kernels, const char *name,
                      kernel_native *function, const void *params, size_t params_bytes,
                      const struct layout *const *layouts, size_t n_layouts, struct error *error) {
        return kernel_native_scratch_new(ret_kernel, kernels, name, function, params, params_bytes, layouts,
                                         n_layouts, 0, error);
}

size_t kernel_n_args(const struct kernel *kernel) {
        return kernel->n_args;
}

const struct layout *kernel_layout(const struct kernel *kernel, size_t arg) {
        return kernel->args[arg].layout;
}

const char *kernel_name(const struct kernel *kernel) {
        return kernel->name;
}

bool kernel_is_reference(const struct kernel *kernel) {
        return !kernel->native && (strstr(kernel->name, "ref") || strncmp(kernel->name, "simple", 6) == 0);
}

size_t kernel_scratch_bytes(const struct kernel *kernel) {
        return kernel->scratch_bytes;
}
