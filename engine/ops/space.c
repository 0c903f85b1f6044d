#include <inttypes.h>
#include <string.h>

#include "engine/ops/native.h"

/* DepthToSpace and SpaceToDepth: walks through [N, C, H, W] with height, width and channels cut into blocks.
 */

static int block_read(size_t *ret_block, const struct value **ret_x, const struct graph *graph,
                      const struct node *node, struct error *error) {
        int64_t block = node_attribute_integer(node, "blocksize", 0);
        int r;

        r = graph_need_input(graph, node, 0, ret_x, error);
        if (r < 0)
                return r;
        if ((*ret_x)->shape.rank != 4)
                return error_set(error, ERROR_INVALID, "rank %zu, [N, C, H, W] is needed",
                                 (*ret_x)->shape.rank);
        if (block < 1 || block > INT32_MAX)
                return error_set(error, ERROR_INVALID, "blocksize %" PRId64, block);
        *ret_block = (size_t)block;
        return 0;
}

static int depth_to_space_read(struct strided *ret_strided, struct shape *ret_shape,
                               const struct graph *graph, const struct node *node, struct error *error) {
        const char *mode = node_attribute_string(node, "mode", "DCR");
        bool columns_first = strcmp(mode, "CRD") == 0;
        struct strided strided = {.rank = 6, .n_operands = 1};
        const struct value *x;
        size_t n, c, h, w, b;
        int r;

        r = block_read(&b, &x, graph, node, error);
        if (r < 0)
                return r;
        if (!columns_first && strcmp(mode, "DCR") != 0)
                return error_set(error, ERROR_INVALID, "mode '%s'", mode);
        n = x->shape.dims[0];
        c = x->shape.dims[1];
        h = x->shape.dims[2];
        w = x->shape.dims[3];
        if (c / b % b != 0 || c % b != 0)
                return error_set(error, ERROR_INVALID, "%zu channels in blocks of %zux%zu", c, b, b);
        c = c / b / b;
        /* The result is [N, C, H, b, W, b]; the source [N, b, b, C, H, W] or [N, C, b, b, H, W]. */
        memcpy(strided.dims, (size_t[]){n, c, h, b, w, b}, 6 * sizeof(size_t));
        memcpy(strided.steps[0],
               (ptrdiff_t[]){(ptrdiff_t)(b * b * c * h * w),
                             (ptrdiff_t)(columns_first ? b * b * h * w : h * w), (ptrdiff_t)w,
                             (ptrdiff_t)(columns_first ? b * h * w : b * c * h * w), 1,
                             (ptrdiff_t)(columns_first ? h * w : c * h * w)},
               6 * sizeof(ptrdiff_t));
        strided_merge(&strided);
        *ret_strided = strided;
        *ret_shape = (struct shape){.rank = 4, .dims = {n, c, h * b, w * b}};
        return 0;
}

static int space_to_depth_read(struct strided *ret_strided, struct shape *ret_shape,
                               const struct graph *graph, const struct node *node, struct error *error) {
        struct strided strided = {.rank = 6, .n_operands = 1};
        const struct value *x;
        size_t n, c, h, w, b;
        int r;

        r = block_read(&b, &x, graph, node, error);
        if (r < 0)
                return r;
        n = x->shape.dims[0];
        c = x->shape.dims[1];
        h = x->shape.dims[2];
        w = x->shape.dims[3];
        if (h % b != 0 || w % b != 0)
                return error_set(error, ERROR_INVALID, "%zux%zu in blocks of %zux%zu", h, w, b, b);
        /* The result is [N, b, b, C, H / b, W / b]; the source [N, C, H / b, b, W / b, b]. */
        memcpy(strided.dims, (size_t[]){n, b, b, c, h / b, w / b}, 6 * sizeof(size_t));
        memcpy(strided.steps[0],
               (ptrdiff_t[]){(ptrdiff_t)(c * h * w), (ptrdiff_t)w, 1, (ptrdiff_t)(h * w), (ptrdiff_t)(b * w),
                             (ptrdiff_t)b},
               6 * sizeof(ptrdiff_t));
        strided_merge(&strided);
        *ret_strided = strided;
        *ret_shape = (struct shape){.rank = 4, .dims = {n, c * b * b, h / b, w / b}};
        return 0;
}

static int space_read(struct strided *ret_strided, struct shape *ret_shape, const struct graph *graph,
                      const struct node *node, struct error *error) {
        return strcmp(node->type, "DepthToSpace") == 0
                       ? depth_to_space_read(ret_strided, ret_shape, graph, node, error)
                       : space_to_depth_read(ret_strided, ret_shape, graph, node, error);
}

OPERATOR_INFER(space) {
        struct strided strided;
        struct shape shape;
        int r;

        r = space_read(&strided, &shape, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype, &shape);
        return 0;
}

OPERATOR_FOLD(space) {
        struct strided strided;
        struct shape shape;
        int r;

        r = space_read(&strided, &shape, graph, node, error);
        if (r < 0)
                return r;
        return strided_fold(ret_tensor, graph, node, 0, &strided, error);
}

OPERATOR_LOWER(space) {
        struct strided strided;
        struct shape shape;
        int r;

        r = space_read(&strided, &shape, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return strided_lower(lowering, node, 0, &strided, error);
}
