#include "engine/tensor.h"

#include <immintrin.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENSOR_ALIGNMENT 64u

static const struct {
        size_t bytes;
        const char *name;
} dtypes[] = {
        [DTYPE_F32] = {4, "float32"}, [DTYPE_F16] = {2, "float16"}, [DTYPE_BF16] = {2, "bfloat16"},
        [DTYPE_F64] = {8, "float64"}, [DTYPE_I64] = {8, "int64"},   [DTYPE_I32] = {4, "int32"},
        [DTYPE_I8] = {1, "int8"},     [DTYPE_U8] = {1, "uint8"},    [DTYPE_BOOL] = {1, "bool"},
};

size_t dtype_bytes(enum dtype dtype) {
        return dtypes[dtype].bytes;
}

const char *dtype_name(enum dtype dtype) {
        return dtypes[dtype].name;
}

int shape_from_dims(struct shape *ret_shape, const int64_t *dims, size_t n_dims, struct error *error) {
        struct shape shape = {.rank = n_dims};
        size_t n = 1;

        if (n_dims > TENSOR_MAX_RANK)
                return error_set(error, ERROR_LIMIT, "rank %zu, the limit is %u", n_dims, TENSOR_MAX_RANK);
        for (size_t i = 0; i < n_dims; i++) {
                if (dims[i] < 0)
                        return error_set(error, ERROR_INVALID, "dimension %zu is negative: %" PRId64, i,
                                         dims[i]);
                shape.dims[i] = (size_t)dims[i];
                /* Zeros are left out, so that 0 x 2^62 x 2^62 cannot slip through. */
                if (!size_multiply(&n, n, MAX(shape.dims[i], 1u)) || n > TENSOR_MAX_ELEMENTS)
                        return error_set(error, ERROR_LIMIT, "more than %zu elements", TENSOR_MAX_ELEMENTS);
        }

        *ret_shape = shape;
        return 0;
}

size_t shape_elements(const struct shape *shape) {
        size_t n = 1;

        for (size_t i = 0; i < shape->rank; i++)
                n *= shape->dims[i];
        return n;
}

bool shape_equal(const struct shape *a, const struct shape *b) {
        return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

const char *shape_text(const struct shape *shape, char buffer[SHAPE_TEXT_BYTES]) {
        size_t used = 0;

        if (shape->rank == 0)
                snprintf(buffer, SHAPE_TEXT_BYTES, "scalar");
        for (size_t i = 0; i < shape->rank; i++)
                used += (size_t)snprintf(buffer + used, SHAPE_TEXT_BYTES - used, "%s%zu", i > 0 ? "x" : "",
                                         shape->dims[i]);
        return buffer;
}

int tensor_adopt(struct tensor **ret_tensor, enum dtype dtype, const struct shape *shape, void *data,
                 struct error *error) {
        struct tensor *tensor = malloc(sizeof(*tensor));

        if (!tensor)
                return error_no_memory(error);
        *tensor = (struct tensor){.refs = 1,
                                  .dtype = dtype,
                                  .shape = *shape,
                                  .n_elements = shape_elements(shape),
                                  .data = data};
        *ret_tensor = tensor;
        return 0;
}

int tensor_new(struct tensor **ret_tensor, enum dtype dtype, const struct shape *shape,
               struct error *error) {
        size_t bytes = shape_elements(shape) * dtype_bytes(dtype);
        void *data;
        int r;

        bytes = (MAX(bytes, 1u) + TENSOR_ALIGNMENT - 1) & ~(size_t)(TENSOR_ALIGNMENT - 1);
        data = aligned_alloc(TENSOR_ALIGNMENT, bytes);
        if (!data)
                return error_no_memory(error);
        memset(data, 0, bytes);
        r = tensor_adopt(ret_tensor, dtype, shape, data, error);
        if (r < 0)
                free(data);
        return r;
}

struct tensor *tensor_ref(struct tensor *tensor) {
        __atomic_fetch_add(&tensor->refs, 1, __ATOMIC_RELAXED);
        return tensor;
}

void tensor_unref(struct tensor *tensor) {
        if (__atomic_sub_fetch(&tensor->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return;
        free(tensor->data);
        free(tensor);
}

static float half_to_float(uint16_t half) {
        uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u,
                 fraction = half & 0x3ffu;
        uint32_t bits;
        float value;

        if (exponent == 0) {
                value = ldexpf((float)fraction, -24);
                return sign ? -value : value;
        }
        bits = sign | (fraction << 13) | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23);
        memcpy(&value, &bits, sizeof(value));
        return value;
}

/* Rounded to the nearest, ties to even. */
static uint16_t half_from_double(double real) {
        uint16_t sign = signbit(real) ? 0x8000u : 0;
        double magnitude = fabs(real);
        int exponent;

        if (isnan(real))
                return sign | 0x7e00u;
        if (magnitude >= 65520)
                return sign | 0x7c00u;
        /* In units of the last place: 2^-24 for what is subnormal. A fraction that rounds up to 2048 carries
         * into the exponent, as it should. */
        frexp(magnitude, &exponent);
        exponent = MAX(exponent - 1, -14);
        return sign | (uint16_t)(((exponent + 14) << 10) + (int)nearbyint(ldexp(magnitude, 10 - exponent)));
}

static float bfloat_to_float(uint16_t bfloat) {
        uint32_t bits = (uint32_t)bfloat << 16;
        float value;

        memcpy(&value, &bits, sizeof(value));
        return value;
}

/* Every CPU with AVX2 has F16C, which clang's __builtin_cpu_supports() does not know. */
__attribute__((target("avx,f16c"))) static size_t halves_to_floats_f16c(float *floats,
                                                                        const uint16_t *halves, size_t n) {
        size_t i = 0;

        for (; i + 8 <= n; i += 8)
                _mm256_storeu_ps(floats + i,
                                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + i))));
        return i;
}

int64_t tensor_integer(const struct tensor *tensor, size_t index) {
        switch (tensor->dtype) {
        case DTYPE_I64:
                return ((const int64_t *)tensor->data)[index];
        case DTYPE_I32:
                return ((const int32_t *)tensor->data)[index];
        case DTYPE_I8:
                return ((const int8_t *)tensor->data)[index];
        case DTYPE_U8:
        case DTYPE_BOOL:
                return ((const uint8_t *)tensor->data)[index];
        default: {
                double real = tensor_real(tensor, index);

                /* Outside of int64 the conversion is undefined in C; ONNX leaves it open. */
                if (!(real > -9.2e18))
                        return INT64_MIN;
                return real < 9.2e18 ? (int64_t)real : INT64_MAX;
        }
        }
}

double tensor_real(const struct tensor *tensor, size_t index) {
        switch (tensor->dtype) {
        case DTYPE_F32:
                return (double)((const float *)tensor->data)[index];
        case DTYPE_F64:
                return ((const double *)tensor->data)[index];
        case DTYPE_F16:
                return (double)half_to_float(((const uint16_t *)tensor->data)[index]);
        case DTYPE_BF16:
                return (double)bfloat_to_float(((const uint16_t *)tensor->data)[index]);
        default:
                return (double)tensor_integer(tensor, index);
        }
}

void tensor_set(struct tensor *tensor, size_t index, double real, int64_t integer) {
        switch (tensor->dtype) {
        case DTYPE_F32:
                ((float *)tensor->data)[index] = (float)real;
                break;
        case DTYPE_F64:
                ((double *)tensor->data)[index] = real;
                break;
        case DTYPE_I64:
                ((int64_t *)tensor->data)[index] = integer;
                break;
        case DTYPE_I32:
                ((int32_t *)tensor->data)[index] = (int32_t)integer;
                break;
        case DTYPE_I8:
                ((int8_t *)tensor->data)[index] = (int8_t)integer;
                break;
        case DTYPE_U8:
                ((uint8_t *)tensor->data)[index] = (uint8_t)integer;
                break;
        case DTYPE_BOOL:
                ((uint8_t *)tensor->data)[index] = real != 0;
                break;
        case DTYPE_F16:
                ((uint16_t *)tensor->data)[index] = half_from_double(real);
                break;
        case DTYPE_BF16:
                break; /* tensor_cast() refuses it as a target */
        }
}

int tensor_cast(struct tensor **ret_tensor, struct tensor *tensor, enum dtype dtype, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *cast = NULL;
        size_t done = 0;
        int r;

        if (tensor->dtype == dtype) {
                *ret_tensor = tensor_ref(tensor);
                return 0;
        }
        if (dtype == DTYPE_BF16)
                return error_set(error, ERROR_UNSUPPORTED, "a constant cast to %s", dtype_name(dtype));

        r = tensor_new(&cast, dtype, &tensor->shape, error);
        if (r < 0)
                return r;
        if (tensor->dtype == DTYPE_F16 && dtype == DTYPE_F32 && __builtin_cpu_supports("avx2"))
                done = halves_to_floats_f16c(cast->data, tensor->data, tensor->n_elements);
        for (size_t i = done; i < tensor->n_elements; i++)
                tensor_set(cast, i, tensor_real(tensor, i), tensor_integer(tensor, i));

        *ret_tensor = steal_ptr(&cast);
        return 0;
}

int tensor_reshape(struct tensor **ret_tensor, const struct tensor *tensor, const struct shape *shape,
                   struct error *error) {
        struct tensor *copy;
        int r;

        r = tensor_new(&copy, tensor->dtype, shape, error);
        if (r < 0)
                return r;
        memcpy(copy->data, tensor->data, tensor->n_elements * dtype_bytes(tensor->dtype));
        *ret_tensor = copy;
        return 0;
}
