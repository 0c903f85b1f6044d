#include "engine/ops/strided.h"

#include <stdint.h>
#include <string.h>

void strided_dense(ptrdiff_t steps[TENSOR_MAX_RANK], const struct shape *shape) {
        ptrdiff_t step = 1;

        for (size_t i = shape->rank; i-- > 0;) {
                steps[i] = step;
                step *= (ptrdiff_t)shape->dims[i];
        }
}

void strided_broadcast(struct strided *ret_strided, const struct shape *result,
                       const struct shape *const *operands, size_t n_operands) {
        struct strided strided = {.rank = result->rank, .n_operands = n_operands};

        memcpy(strided.dims, result->dims, result->rank * sizeof(*strided.dims));
        for (size_t k = 0; k < n_operands; k++) {
                size_t lead = result->rank - operands[k]->rank;
                ptrdiff_t dense[TENSOR_MAX_RANK];

                strided_dense(dense, operands[k]);
                for (size_t i = lead; i < result->rank; i++)
                        strided.steps[k][i] = operands[k]->dims[i - lead] == 1 ? 0 : dense[i - lead];
        }
        strided_merge(&strided);
        *ret_strided = strided;
}

void strided_merge(struct strided *strided) {
        size_t n = 0;

        for (size_t i = 0; i < strided->rank; i++) {
                bool joins = n > 0;

                if (strided->dims[i] == 1)
                        continue;
                for (size_t k = 0; k < strided->n_operands && joins; k++)
                        joins = strided->steps[k][n - 1] ==
                                strided->steps[k][i] * (ptrdiff_t)strided->dims[i];
                n += !joins;
                strided->dims[n - 1] = joins ? strided->dims[n - 1] * strided->dims[i] : strided->dims[i];
                for (size_t k = 0; k < strided->n_operands; k++)
                        strided->steps[k][n - 1] = strided->steps[k][i];
        }
        strided->rank = n;
}

bool strided_first(const struct strided *strided, struct strided_row *ret_row) {
        struct strided_row row = {.n = strided->rank > 0 ? strided->dims[strided->rank - 1] : 1};

        for (size_t k = 0; k < strided->n_operands; k++) {
                row.operands[k] = strided->starts[k];
                row.steps[k] = strided->rank > 0 ? strided->steps[k][strided->rank - 1] : 0;
        }
        *ret_row = row;
        for (size_t i = 0; i < strided->rank; i++)
                if (strided->dims[i] == 0)
                        return false;
        return true;
}

bool strided_next(const struct strided *strided, struct strided_row *row) {
        row->at += row->n;
        for (size_t i = strided->rank > 0 ? strided->rank - 1 : 0; i-- > 0;) {
                bool wraps = ++row->index[i] == strided->dims[i];

                for (size_t k = 0; k < strided->n_operands; k++)
                        row->operands[k] += wraps ? -strided->steps[k][i] * ((ptrdiff_t)strided->dims[i] - 1)
                                                  : strided->steps[k][i];
                if (!wraps)
                        return true;
                row->index[i] = 0;
        }
        return false;
}

#define COPY_ROW(type)                                                                                      \
        do {                                                                                                \
                type *to = (type *)dst + row->at;                                                           \
                const type *from = (const type *)src + row->operands[0];                                    \
                                                                                                            \
                for (size_t i = 0; i < row->n; i++)                                                         \
                        to[i] = from[(ptrdiff_t)i * row->steps[0]];                                         \
        } while (false)

static void copy_row(const struct strided_row *row, void *dst, const void *src, size_t element_bytes) {
        if (row->steps[0] == 1)
                memcpy((char *)dst + row->at * element_bytes,
                       (const char *)src + row->operands[0] * (ptrdiff_t)element_bytes,
                       row->n * element_bytes);
        else if (element_bytes == 1)
                COPY_ROW(uint8_t);
        else if (element_bytes == 2)
                COPY_ROW(uint16_t);
        else if (element_bytes == 4)
                COPY_ROW(uint32_t);
        else
                COPY_ROW(uint64_t);
}

void strided_copy(const struct strided *strided, void *dst, const void *src, size_t element_bytes) {
        struct strided_row row;

        for (bool more = strided_first(strided, &row); more; more = strided_next(strided, &row))
                copy_row(&row, dst, src, element_bytes);
}

int shape_broadcast(struct shape *ret_shape, const struct shape *a, const struct shape *b,
                    struct error *error) {
        size_t rank = MAX(a->rank, b->rank);
        int64_t dims[TENSOR_MAX_RANK];

        for (size_t i = 0; i < rank; i++) {
                size_t da = i + a->rank >= rank ? a->dims[i + a->rank - rank] : 1;
                size_t db = i + b->rank >= rank ? b->dims[i + b->rank - rank] : 1;
                char text_a[SHAPE_TEXT_BYTES], text_b[SHAPE_TEXT_BYTES];

                if (da != db && da != 1 && db != 1)
                        return error_set(error, ERROR_INVALID, "shapes %s and %s do not broadcast",
                                         shape_text(a, text_a), shape_text(b, text_b));
                dims[i] = (int64_t)(da == 1 ? db : da);
        }
        return shape_from_dims(ret_shape, dims, rank, error);
}

bool box_advance(int64_t *index, const int64_t *dims, size_t n) {
        for (size_t i = n; i-- > 0;) {
                if (++index[i] < dims[i])
                        return true;
                index[i] = 0;
        }
        return false;
}
