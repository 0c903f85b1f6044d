#include <stdio.h>
#include <stdlib.h>

#include "engine/kernel_internal.h"

void dims_from_shape(dnnl_dims_t dims, const struct shape *shape) {
        for (size_t i = 0; i < shape->rank; i++)
                dims[i] = (dnnl_dim_t)shape->dims[i];
}

const struct layout *layout_from_md(struct kernels *kernels, const dnnl_memory_desc_t *md) {
        return pool_copy(kernels->pool, md, 1, sizeof(*md));
}

static const struct {
        enum dtype dtype;
        dnnl_data_type_t type;
} types[] = {{DTYPE_F32, dnnl_f32}, {DTYPE_BF16, dnnl_bf16}, {DTYPE_I32, dnnl_s32},
             {DTYPE_I8, dnnl_s8},   {DTYPE_U8, dnnl_u8},     {DTYPE_F16, dnnl_f16}};

enum dtype layout_dtype(const struct layout *layout) {
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (types[i].type == layout->md.data_type)
                        return types[i].dtype;
        return DTYPE_F32;
}

const struct layout *layout_as(struct kernels *kernels, const struct layout *layout, enum dtype dtype) {
        dnnl_memory_desc_t md;

        if (!layout || layout_dtype(layout) == dtype)
                return layout;
        md = layout->md;
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (types[i].dtype == dtype)
                        md.data_type = types[i].type;
        return layout_from_md(kernels, &md);
}

const struct layout *layout_strided(struct kernels *kernels, const struct shape *shape,
                                    const size_t *strides) {
        dnnl_memory_desc_t md;
        dnnl_dims_t dims, dnnl_strides;

        dims_from_shape(dims, shape);
        for (size_t i = 0; i < shape->rank; i++)
                dnnl_strides[i] = (dnnl_dim_t)strides[i];
        if (dnnl_memory_desc_init_by_strides(&md, (int)shape->rank, dims, dnnl_f32, dnnl_strides) !=
            dnnl_success)
                return NULL;
        return layout_from_md(kernels, &md);
}

const struct layout *layout_plain(struct kernels *kernels, const struct shape *shape) {
        size_t strides[TENSOR_MAX_RANK], stride = 1;
        struct shape vector = {.rank = 1, .dims = {1}};

        /* oneDNN has no scalars: one element. */
        if (shape->rank == 0)
                shape = &vector;
        for (size_t i = shape->rank; i-- > 0;) {
                strides[i] = stride;
                stride *= shape->dims[i];
        }
        return layout_strided(kernels, shape, strides);
}

const struct layout *layout_channels_last(struct kernels *kernels, const struct shape *shape) {
        size_t c = shape->dims[1], h = shape->dims[2], w = shape->dims[3];

        return layout_strided(kernels, shape, (size_t[]){c * h * w, 1, w * c, c});
}

const struct layout *layout_channel_blocks(struct kernels *kernels, const struct shape *shape,
                                           size_t block) {
        dnnl_memory_desc_t md;
        dnnl_dims_t dims;

        dims_from_shape(dims, shape);
        if (dnnl_memory_desc_init_by_tag(&md, (int)shape->rank, dims, dnnl_f32,
                                         block == 8 ? dnnl_aBcd8b : dnnl_aBcd16b) != dnnl_success)
                return NULL;
        return layout_from_md(kernels, &md);
}

bool layout_map_strides(const struct layout *layout, size_t lanes, struct map_strides *ret_strides) {
        const dnnl_memory_desc_t *md = &layout->md;
        const dnnl_blocking_desc_t *blocking = &md->format_desc.blocking;
        bool blocks = blocking->inner_nblks == 1 && blocking->inner_idxs[0] == 1 &&
                      blocking->inner_blks[0] == (dnnl_dim_t)lanes;

        if (md->format_kind != dnnl_blocked || md->ndims != 4 || md->dims[1] != md->padded_dims[1])
                return false;
        if (!blocks && (blocking->inner_nblks > 0 || blocking->strides[1] != 1))
                return false;
        *ret_strides = (struct map_strides){
                .image = (size_t)blocking->strides[0],
                .row = (size_t)blocking->strides[2],
                .pixel = (size_t)blocking->strides[3],
                .step = blocks ? (size_t)blocking->strides[1] : lanes,
        };
        return true;
}

const struct layout *layout_pixels(struct kernels *kernels, const struct shape *shape, size_t pixel) {
        size_t h = shape->dims[2], w = shape->dims[3];

        return layout_strided(kernels, shape, (size_t[]){h * w * pixel, 1, w * pixel, pixel});
}

size_t layout_pixel(const struct layout *layout) {
        const dnnl_memory_desc_t *md = &layout->md;
        const dnnl_dim_t *strides = md->format_desc.blocking.strides;
        dnnl_dim_t pixel;

        if (md->ndims != 4 || md->format_kind != dnnl_blocked || md->format_desc.blocking.inner_nblks != 0 ||
            (strides[1] != 1 && md->dims[1] > 1))
                return 0;
        /* The step of a dimension of one element says nothing. */
        pixel = md->dims[3] > 1   ? strides[3]
                : md->dims[2] > 1 ? strides[2]
                : md->dims[0] > 1 ? strides[0]
                                  : md->dims[1];
        if ((md->dims[2] > 1 && strides[2] != md->dims[3] * pixel) ||
            (md->dims[0] > 1 && strides[0] != md->dims[2] * md->dims[3] * pixel) || pixel < md->dims[1])
                return 0;
        return (size_t)pixel;
}

const struct layout *layout_panels_of_32(struct kernels *kernels, const struct shape *shape) {
        dnnl_memory_desc_t md;
        dnnl_dims_t dims;

        dims_from_shape(dims, shape);
        if (dnnl_memory_desc_init_by_tag(&md, (int)shape->rank, dims, dnnl_f32, dnnl_Abcd32a) !=
            dnnl_success)
                return NULL;
        return layout_from_md(kernels, &md);
}

bool layout_equal(const struct layout *a, const struct layout *b) {
        return a == b || dnnl_memory_desc_equal(&a->md, &b->md);
}

size_t layout_bytes(const struct layout *layout) {
        return dnnl_memory_desc_get_size(&layout->md);
}

struct shape layout_shape(const struct layout *layout) {
        struct shape shape = {.rank = (size_t)layout->md.ndims};

        for (size_t i = 0; i < shape.rank; i++)
                shape.dims[i] = (size_t)layout->md.dims[i];
        return shape;
}

size_t layout_outermost(const struct layout *layout) {
        const dnnl_memory_desc_t *md = &layout->md;
        int outermost = 0;

        for (int i = 1; i < md->ndims; i++)
                if (md->format_desc.blocking.strides[i] * (md->dims[i] - 1) >
                    md->format_desc.blocking.strides[outermost] * (md->dims[outermost] - 1))
                        outermost = i;
        return (size_t)outermost;
}

size_t layout_block(const struct layout *layout, size_t dim) {
        const dnnl_blocking_desc_t *blocking = &layout->md.format_desc.blocking;
        size_t block = 1;

        for (int i = 0; layout->md.format_kind == dnnl_blocked && i < blocking->inner_nblks; i++)
                if (blocking->inner_idxs[i] == (dnnl_dim_t)dim)
                        block *= (size_t)blocking->inner_blks[i];
        return block;
}

const struct layout *layout_part(struct kernels *kernels, const struct layout *layout, size_t dim,
                                 size_t first, size_t n) {
        dnnl_dims_t dims, offsets = {0};
        dnnl_memory_desc_t md;

        if (layout->md.format_kind != dnnl_blocked)
                return NULL;
        for (int i = 0; i < layout->md.ndims; i++)
                dims[i] = layout->md.dims[i];
        dims[dim] = (dnnl_dim_t)n;
        offsets[dim] = (dnnl_dim_t)first;
        if (dnnl_memory_desc_init_submemory(&md, &layout->md, dims, offsets) != dnnl_success)
                return NULL;
        return layout_from_md(kernels, &md);
}

static const char *dtype_prefix(enum dtype dtype) {
        switch (dtype) {
        case DTYPE_BF16:
                return "bf16 ";
        case DTYPE_I8:
                return "s8 ";
        case DTYPE_U8:
                return "u8 ";
        default:
                return "";
        }
}

/* oneDNN's own notation: letters by falling stride, capital where a block of it follows ("aBcd8b"). */
const char *layout_text(const struct layout *layout, char buffer[LAYOUT_TEXT_BYTES]) {
        const dnnl_memory_desc_t *md = &layout->md;
        const dnnl_blocking_desc_t *blocking = &md->format_desc.blocking;
        struct shape shape = layout_shape(layout);
        char shape_buffer[SHAPE_TEXT_BYTES];
        int order[DNNL_MAX_NDIMS];
        size_t used;

        used = (size_t)snprintf(buffer, LAYOUT_TEXT_BYTES, "%s %s", shape_text(&shape, shape_buffer),
                                dtype_prefix(layout_dtype(layout)));
        if (md->format_kind != dnnl_blocked) {
                snprintf(buffer + used, LAYOUT_TEXT_BYTES - used, "packed");
                return buffer;
        }
        for (int i = 0; i < md->ndims; i++) {
                int k = i;

                for (; k > 0 && blocking->strides[order[k - 1]] < blocking->strides[i]; k--)
                        order[k] = order[k - 1];
                order[k] = i;
        }
        for (int i = 0; i < md->ndims; i++) {
                char letter = (char)('a' + order[i]);

                for (int k = 0; k < blocking->inner_nblks; k++)
                        if (blocking->inner_idxs[k] == order[i])
                                letter = (char)('A' + order[i]);
                used += (size_t)snprintf(buffer + used, LAYOUT_TEXT_BYTES - used, "%c", letter);
        }
        for (int k = 0; k < blocking->inner_nblks; k++)
                used += (size_t)snprintf(buffer + used, LAYOUT_TEXT_BYTES - used, "%d%c",
                                         (int)blocking->inner_blks[k],
                                         (char)('a' + blocking->inner_idxs[k]));
        return buffer;
}

struct layout *layout_copy(const struct layout *layout) {
        struct layout *copy = malloc(sizeof(*copy));

        if (copy)
                *copy = *layout;
        return copy;
}

void layout_free(struct layout *layout) {
        free(layout);
}
