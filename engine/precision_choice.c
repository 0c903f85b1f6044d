#include "engine/precision_choice.h"

#include <stdlib.h>
#include <string.h>

#include "engine/cpu.h"

const char *precision_name(enum precision precision) {
        static const char *const names[] = {
                [PRECISION_AUTO] = "auto",
                [PRECISION_F32] = "f32",
                [PRECISION_BF16] = "bf16",
                [PRECISION_INT8] = "int8",
        };

        return names[precision];
}

/* Are there activations in integers? Weights alone may be kept so in a file that is computed in float32. */
static bool is_quantised(const struct graph *graph) {
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const char *type = graph->nodes[i].type;

                if (strcmp(type, "QuantizeLinear") == 0 || strncmp(type, "QLinear", 7) == 0 ||
                    strcmp(type, "QGemm") == 0)
                        return true;
        }
        return false;
}

/* The type of most floating point constants. */
static enum dtype weights_dtype(const struct graph *graph) {
        size_t n_f32 = 0, n_f16 = 0, n_bf16 = 0;

        for (size_t i = 0; i < graph->n_values; i++) {
                const struct tensor *constant = graph->values[i].constant;

                if (!constant)
                        continue;
                n_f32 += constant->dtype == DTYPE_F32 ? constant->n_elements : 0;
                n_f16 += constant->dtype == DTYPE_F16 ? constant->n_elements : 0;
                n_bf16 += constant->dtype == DTYPE_BF16 ? constant->n_elements : 0;
        }
        if (n_bf16 > n_f32 && n_bf16 > n_f16)
                return DTYPE_BF16;
        return n_f16 > n_f32 ? DTYPE_F16 : DTYPE_F32;
}

static struct precision_choice choose_by_file(const struct graph *graph) {
        enum dtype weights = weights_dtype(graph);

        if (is_quantised(graph) && !cpu_may_use_avx2())
                return (struct precision_choice){
                        PRECISION_F32, "the file is quantised, and this CPU has no AVX2 for its integers: "
                                       "float32, rounded as they would be"};
        if (is_quantised(graph))
                return (struct precision_choice){PRECISION_INT8,
                                                 "the file is quantised, and runs in integers where it is"};
        if (weights == DTYPE_BF16 && cpu_may_use_bf16())
                return (struct precision_choice){
                        PRECISION_BF16, "the file's weights are bfloat16, which this CPU computes in"};
        if (weights == DTYPE_BF16)
                return (struct precision_choice){
                        PRECISION_F32,
                        "the file's weights are bfloat16, which this CPU has no instructions for"};
        if (weights == DTYPE_F16)
                return (struct precision_choice){PRECISION_F32,
                                                 "the file's weights are float16, which float32 holds "
                                                 "exactly and bfloat16 would round"};
        return (struct precision_choice){
                PRECISION_F32, "the file is float32, which bfloat16 would round; bf16 has to be asked for"};
}

static int choose_bf16(struct precision_choice *ret_choice, const struct graph *graph, struct error *error) {
        const char *limit = getenv("ONEDNN_MAX_CPU_ISA");

        if (is_quantised(graph))
                return error_set(error, ERROR_UNSUPPORTED,
                                 "precision bf16: the model is quantised; ask for int8, f32 or auto");
        if (!cpu_may_use_bf16())
                return error_set(
                        error, ERROR_UNSUPPORTED,
                        "precision bf16: it takes AVX512_BF16 or AMX, and this CPU gives %s%s%.32s%s; "
                        "ask for f32 or auto",
                        cpu_isa(), limit ? " (ONEDNN_MAX_CPU_ISA=" : "", limit ? limit : "",
                        limit ? ")" : "");
        *ret_choice = (struct precision_choice){PRECISION_BF16, "bfloat16 was asked for"};
        return 0;
}

static int choose_int8(struct precision_choice *ret_choice, const struct graph *graph, struct error *error) {
        if (!is_quantised(graph))
                return error_set(error, ERROR_UNSUPPORTED,
                                 "precision int8: the model is not quantised; `saccade quantize` makes one "
                                 "that is");
        if (!cpu_may_use_avx2())
                return error_set(error, ERROR_UNSUPPORTED,
                                 "precision int8: it takes AVX2, and this CPU gives %s; ask for f32 or auto",
                                 cpu_isa());
        *ret_choice = (struct precision_choice){PRECISION_INT8, "int8 was asked for"};
        return 0;
}

int precision_choose(struct precision_choice *ret_choice, enum precision asked, const struct graph *graph,
                     struct error *error) {
        switch (asked) {
        case PRECISION_AUTO:
                *ret_choice = choose_by_file(graph);
                return 0;
        case PRECISION_F32:
                *ret_choice = (struct precision_choice){PRECISION_F32, "float32 was asked for"};
                return 0;
        case PRECISION_BF16:
                return choose_bf16(ret_choice, graph, error);
        case PRECISION_INT8:
                break;
        }
        return choose_int8(ret_choice, graph, error);
}
