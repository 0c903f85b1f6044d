#include "engine/operator.h"

#include <string.h>

#include "engine/ops/families.h"

#define VARIADIC OPERATOR_VARIADIC
#define no_fold  NULL
#define no_lower NULL
#define OPERATOR(type, since, inputs, infer, fold, lower)                                                   \
        {type, since, OPERATOR_NEWEST, inputs, infer, fold, lower},

static const struct operator operators[] = {
#include "engine/ops/operators.inc"
};

/* Made by simplify.c and fuse.c. ScaleShift: y = x * scale + shift, a pair of constants for each channel. */
static const struct operator internal_operators[] = {
        {"ScaleShift", 1, 1, 3, scale_shift_infer, NULL, scale_shift_lower},
        {"Silu", 1, 1, 1, unary_infer, NULL, unary_lower},
};

/* Rows are sorted by type; a type may have several, for different versions. */
static const struct operator* find(const struct operator* table, size_t n, const char *type, int opset) {
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(table[middle].type, type) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; low < n && strcmp(table[low].type, type) == 0; low++)
                if (opset >= table[low].since && opset <= table[low].until)
                        return &table[low];
        return NULL;
}

const struct operator* operator_find(const char *domain, const char *type, int opset) {
        if (domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0)
                return find(operators, ARRAY_SIZE(operators), type, opset);
        return NULL;
}

const struct operator* operator_find_internal(const char *type) {
        return find(internal_operators, ARRAY_SIZE(internal_operators), type, 1);
}

size_t operator_count(void) {
        return ARRAY_SIZE(operators);
}

const struct operator* operator_at(size_t index) {
        return &operators[index];
}
