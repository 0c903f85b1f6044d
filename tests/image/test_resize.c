/* The resize against Pillow's, to the bit, and the kernels against each other. */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "engine/image/kernels_avx2.h"
#include "engine/image/resize.h"
#include "tests/image/vectors.h"

#define GUARD_BYTES 64u
#define GUARD       0xa5

struct resize {
        struct weights_axis x, y;
        enum image_filter filter;
};

/* output: [y.n, x.n, 3] followed by GUARD_BYTES that must stay as they are. */
static void resize_run(unsigned char *output, const struct resize *resize, const struct kernels *kernels,
                       const unsigned char *input) {
        _cleanup_(resizer_freep) struct resizer *resizer = NULL;
        size_t size = resize->y.n * resize->x.n * 3, n_overwritten = 0;
        struct error error;

        memset(output, GUARD, size + GUARD_BYTES);
        ck_assert_msg(resizer_new(&resizer, kernels, &error) == 0, "%s", error.text);
        ck_assert_msg(resizer_begin(resizer, &resize->x, &resize->y, resize->filter, output, resize->x.n * 3,
                                    &error) == 0,
                      "%s", error.text);
        for (size_t y = 0; y < resize->y.in; y++) {
                memcpy(resizer_row(resizer), input + y * resize->x.in * 3, resize->x.in * 3);
                resizer_commit(resizer);
        }
        for (size_t i = 0; i < GUARD_BYTES; i++)
                n_overwritten += output[size + i] != GUARD;
        ck_assert_uint_eq(n_overwritten, 0);
}

/* Where two pictures differ first, said so that one can look there. */
static void same_pixels(const char *name, const struct resize *resize, const unsigned char *actual,
                        const unsigned char *expected) {
        size_t size = resize->y.n * resize->x.n * 3;

        if (memcmp(actual, expected, size) == 0)
                return;
        for (size_t i = 0; i < size; i++)
                ck_assert_msg(actual[i] == expected[i], "%s: row %zu, column %zu, channel %zu: %d, not %d",
                              name, i / 3 / resize->x.n, i / 3 % resize->x.n, i % 3, actual[i], expected[i]);
}

static void matches_pillow(const char *name, const struct kernels *kernels) {
        _cleanup_(blob_release) struct blob blob = vector_read(name, ".resize");
        _cleanup_(freep) unsigned char *output = NULL;
        struct resize resize;
        char filter[16];
        size_t size;
        int n = 0;

        ck_assert_int_eq(sscanf((const char *)blob.bytes,
                                "%15s in %zu %zu box %lf %lf %lf %lf out %zu %zu window %zu %zu %zu %zu%n",
                                filter, &resize.x.in, &resize.y.in, &resize.x.box_from, &resize.x.box_to,
                                &resize.y.box_from, &resize.y.box_to, &resize.x.out, &resize.y.out,
                                &resize.x.from, &resize.y.from, &resize.x.n, &resize.y.n, &n),
                         13);
        resize.filter = strcmp(filter, "bicubic") == 0 ? IMAGE_FILTER_BICUBIC : IMAGE_FILTER_BILINEAR;
        n++; /* the newline */
        size = resize.x.n * resize.y.n * 3;
        ck_assert_uint_eq(blob.size, (size_t)n + resize.x.in * resize.y.in * 3 + size);

        output = malloc(size + GUARD_BYTES);
        resize_run(output, &resize, kernels, blob.bytes + n);
        same_pixels(name, &resize, output, blob.bytes + blob.size - size);
}

static const char *const vectors[] = {
        "bilinear_down",
        "bilinear_up",
        "bicubic_down",
        "bicubic_up",
        "bilinear_down_far",
        "bicubic_down_far",
        "bilinear_identity",
        "bicubic_identity",
        "bilinear_crop",
        "bicubic_crop",
        "bilinear_wider_and_lower",
        "bicubic_narrower_and_higher",
        "bilinear_tall",
        "bicubic_tall",
        "bilinear_lower",
        "bilinear_as_much_lower",
        "bilinear_one_row",
        "bicubic_one_column",
        "bilinear_one_pixel",
        "bicubic_one_pixel",
        "bilinear_to_one_pixel",
        "bicubic_to_one_pixel",
        "bilinear_extreme_aspect",
        "bilinear_box",
        "bicubic_box",
        "bilinear_one_output_column",
};

START_TEST(portable_resize_matches_pillow_to_the_bit) {
        matches_pillow(vectors[_i], &kernels_portable);
}
END_TEST

START_TEST(fastest_resize_matches_pillow_to_the_bit) {
        matches_pillow(vectors[_i], NULL);
}
END_TEST

static size_t random_up_to(uint64_t *state, size_t most) {
        return 1 + vector_random(state) % most;
}

static struct weights_axis random_axis(uint64_t *state) {
        struct weights_axis axis = {.in = random_up_to(state, 150), .out = random_up_to(state, 150)};

        axis.box_to = (double)axis.in - (double)(vector_random(state) % 8) / 8;
        axis.box_from = axis.box_to > 1 ? (double)(vector_random(state) % 8) / 8 : 0;
        axis.from = vector_random(state) % axis.out;
        axis.n = random_up_to(state, axis.out - axis.from);
        return axis;
}

START_TEST(avx2_gives_the_bits_of_the_portable_code) {
        uint64_t state = 88172645463325252;

        if (!kernels_avx2()) {
                printf("# skipped: this CPU has no AVX2\n");
                return;
        }
        for (size_t round = 0; round < 1000; round++) {
                _cleanup_(freep) unsigned char *input = NULL, *portable = NULL, *avx2 = NULL;
                struct resize resize = {
                        .x = random_axis(&state), .y = random_axis(&state), .filter = round % 2};
                size_t size = resize.x.n * resize.y.n * 3 + GUARD_BYTES;

                input = malloc(resize.x.in * resize.y.in * 3);
                portable = malloc(size);
                avx2 = malloc(size);
                for (size_t i = 0; i < resize.x.in * resize.y.in * 3; i++) {
                        uint64_t number = vector_random(&state);

                        input[i] = (unsigned char)(number & 1 ? (number & 2 ? 255 : 0) : number >> 8);
                }
                resize_run(portable, &resize, &kernels_portable, input);
                resize_run(avx2, &resize, kernels_avx2(), input);
                same_pixels("AVX2", &resize, avx2, portable);
        }
}
END_TEST

START_TEST(a_resizer_takes_pictures_of_any_size_in_turn) {
        _cleanup_(resizer_freep) struct resizer *resizer = NULL;
        uint64_t state = 1181783497276652981;
        struct error error;

        ck_assert_int_eq(resizer_new(&resizer, NULL, &error), 0);
        for (size_t round = 0; round < 200; round++) {
                struct resize resize = {.x = random_axis(&state), .y = random_axis(&state)};
                size_t size = resize.x.n * resize.y.n * 3;
                _cleanup_(freep) unsigned char *input = calloc(resize.x.in * resize.y.in, 3);
                _cleanup_(freep) unsigned char *reused = malloc(size);
                _cleanup_(freep) unsigned char *fresh = malloc(size + GUARD_BYTES);

                for (size_t i = 0; i < resize.x.in * resize.y.in * 3; i++)
                        input[i] = (unsigned char)vector_random(&state);
                ck_assert_int_eq(resizer_begin(resizer, &resize.x, &resize.y, resize.filter, reused,
                                               resize.x.n * 3, &error),
                                 0);
                for (size_t y = 0; y < resize.y.in; y++) {
                        memcpy(resizer_row(resizer), input + y * resize.x.in * 3, resize.x.in * 3);
                        resizer_commit(resizer);
                }
                if (round % 3 == 0)
                        resizer_trim(resizer, 1000);
                resize_run(fresh, &resize, NULL, input);
                same_pixels("reused", &resize, reused, fresh);
        }
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("resize");

        tcase_add_loop_test(tcase, portable_resize_matches_pillow_to_the_bit, 0, ARRAY_SIZE(vectors));
        tcase_add_loop_test(tcase, fastest_resize_matches_pillow_to_the_bit, 0, ARRAY_SIZE(vectors));
        tcase_add_test(tcase, avx2_gives_the_bits_of_the_portable_code);
        tcase_add_test(tcase, a_resizer_takes_pictures_of_any_size_in_turn);
        return vector_main("image resize", tcase);
}
