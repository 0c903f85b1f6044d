/*
 * How close native/dot comes to what the CPU can: ResNet-50's convolutions on one thread, one image.
 *
 * dot [u8|bf16] [threads]: for each shape its time, operations a second (two for each multiplication), and
 * the total over the network; weights and maps of a bell's shape. Weights are used once a round, as in a
 * network, so that late layers find theirs in the third cache or in memory.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "engine/native/dot.h"

#define ROUNDS 20

struct layer {
        size_t inputs, outputs, side, kernel, stride, times;
        bool sum;
};

static const struct layer layers[] = {
        {3, 64, 224, 7, 2, 1, false},    {64, 64, 56, 1, 1, 1, false},    {64, 64, 56, 3, 1, 3, false},
        {64, 256, 56, 1, 1, 1, false},   {64, 256, 56, 1, 1, 3, true},    {256, 64, 56, 1, 1, 2, false},
        {256, 128, 56, 1, 1, 1, false},  {128, 128, 56, 3, 2, 1, false},  {256, 512, 56, 1, 2, 1, false},
        {128, 512, 28, 1, 1, 4, true},   {512, 128, 28, 1, 1, 3, false},  {128, 128, 28, 3, 1, 3, false},
        {512, 256, 28, 1, 1, 1, false},  {256, 256, 28, 3, 2, 1, false},  {512, 1024, 28, 1, 2, 1, false},
        {256, 1024, 14, 1, 1, 6, true},  {1024, 256, 14, 1, 1, 5, false}, {256, 256, 14, 3, 1, 5, false},
        {1024, 512, 14, 1, 1, 1, false}, {512, 512, 14, 3, 2, 1, false},  {1024, 2048, 14, 1, 2, 1, false},
        {512, 2048, 7, 1, 1, 3, true},   {2048, 512, 7, 1, 1, 2, false},  {512, 512, 7, 3, 1, 2, false},
        {2048, 1000, 1, 1, 1, 1, false},
};

static double now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t draw(uint32_t below) {
        static uint64_t state = 1;

        state = state * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t)(state >> 33) % below;
}

static void *bytes(size_t n) {
        void *p = aligned_alloc(64, (n + 127) / 64 * 64);

        if (!p)
                exit(1);
        memset(p, 0, n + 63);
        return p;
}

/* Standard deviation 127 / deviations, as weights have whose largest lies so many deviations from 0. */
static int8_t draw_weight(double deviations) {
        double sum = 0, weight;

        for (int i = 0; i < 12; i++)
                sum += (double)draw(1u << 16) / 65536;
        weight = rint((sum - 6) * 127 / deviations);
        return (int8_t)fmax(fmin(weight, 127), -127);
}

struct copy {
        struct dot_conv conv;
        struct dot_data data;
};

static void copy_new(struct copy *copy, const struct layer *l, enum dot_type type, size_t threads) {
        size_t out = (l->side + l->kernel / 2 * 2 - l->kernel) / l->stride + 1,
               element = type == DOT_BF16 ? 2 : 1;
        size_t n = l->outputs * l->inputs * l->kernel * l->kernel;
        int64_t pad = (int64_t)(l->kernel / 2);
        struct dot_conv *c = &copy->conv;
        float *scale = bytes(l->outputs * 4), *bias = bytes(l->outputs * 4);
        void *weights = bytes(n * 4), *packed;
        uint8_t *src = bytes(l->side * l->side * l->inputs * element + 64);

        for (size_t i = 0; i < n; i++)
                if (type == DOT_U8S8)
                        ((int8_t *)weights)[i] = draw_weight(3.5);
                else
                        ((float *)weights)[i] = (float)draw_weight(3.5) / 127;
        for (size_t i = 0; i < l->side * l->side * l->inputs && type == DOT_U8S8; i++)
                src[i] = (uint8_t)draw(256);
        for (size_t i = 0; i < l->outputs; i++)
                scale[i] = 1e-4f;
        *c = (struct dot_conv){
                .type = type,
                .result = type == DOT_BF16 ? DOT_TO_BF16 : DOT_TO_U8,
                .sum_type = type == DOT_BF16 ? DOT_TO_BF16 : DOT_TO_U8,
                .images = 1,
                .inputs = l->inputs,
                .outputs = l->outputs,
                .groups = 1,
                .height = l->side,
                .width = l->side,
                .out_height = out,
                .out_width = out,
                .src_pixel = l->inputs,
                .dst_pixel = l->outputs,
                .sum_pixel = l->outputs,
                .window = {.kernel = {l->kernel, l->kernel},
                           .strides = {l->stride, l->stride},
                           .dilations = {1, 1},
                           .pads_begin = {pad, pad},
                           .pads_end = {pad, pad}},
                .epilogue = {.low = 0, .high = INFINITY, .sum = l->sum},
                .sum_scale = .02f,
                .dst_scale = .02f,
        };
        dot_conv_settle(c, threads);
        packed = bytes(dot_conv_packed_bytes(c, weights));
        dot_conv_pack(c, weights, packed);
        copy->data = (struct dot_data){.src = src,
                                       .weights = packed,
                                       .scale = scale,
                                       .bias = bias,
                                       .sum = bytes(out * out * l->outputs * element),
                                       .dst = bytes(out * out * l->outputs * element),
                                       .scratch = bytes(c->scratch_bytes)};
        free(weights);
}

int main(int argc, char **argv) {
        enum dot_type type = argc > 1 && strcmp(argv[1], "bf16") == 0 ? DOT_BF16 : DOT_U8S8;
        size_t threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
        static struct copy copies[ARRAY_SIZE(layers)][6];
        static double best[ARRAY_SIZE(layers)];
        double total = 0, operations = 0;

        if (!dot_isa(type)) {
                fprintf(stderr, "this CPU has no code for it\n");
                return 1;
        }
        for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
                for (size_t j = 0; j < layers[i].times; j++)
                        copy_new(&copies[i][j], &layers[i], type, threads);
        for (size_t round = 0; round < ROUNDS; round++)
                for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
                        double begin = now(), taken;

                        for (size_t j = 0; j < layers[i].times; j++)
                                dot_conv_run(&copies[i][j].conv, &copies[i][j].data);
                        taken = (now() - begin) / (double)layers[i].times;
                        best[i] = round == 0 || taken < best[i] ? taken : best[i];
                }
        for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
                const struct layer *l = &layers[i];
                const struct dot_conv *c = &copies[i][0].conv;
                double n = 2.0 * (double)(c->out_height * c->out_width * l->outputs * l->inputs) *
                           (double)(l->kernel * l->kernel);

                printf("%4zu -> %4zu  %zux%zu / %zu  %3zu%s  x%zu  %8.1f us  %6.1f GOP/s\n", l->inputs,
                       l->outputs, l->kernel, l->kernel, l->stride, l->side, l->sum ? " +" : "  ", l->times,
                       best[i] * 1e6, n / best[i] * 1e-9);
                total += best[i] * (double)l->times;
                operations += n * (double)l->times;
        }
        printf("%s, %zu thread(s): %.2f ms, %.1f GOP/s\n", dot_isa(type), threads, total * 1e3,
               operations / total * 1e-9);
        return 0;
}
