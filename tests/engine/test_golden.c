/* golden.json: what is read of it, which images it may name, and what counts as the same answer. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "engine/golden.h"
#include "engine/location.h"
#include "engine/model.h"
#include "models/embedded.h"
#include "tests/suite.h"

static int parse(struct golden **ret_golden, const char *text, struct error *error) {
        struct blob blob = blob_borrow(text, strlen(text));

        return golden_parse(ret_golden, &blob, error);
}

START_TEST(golden_file_is_read) {
        _cleanup_(golden_freep) struct golden *golden = NULL;
        const struct golden_answer *first, *second;

        ck_assert_int_eq(parse(&golden,
                               " {\"tolerance\": 0.25, \"answers\": ["
                               "{\"image\": \"a/b.jpg\", \"predictions\": ["
                               "{\"class_id\": 7, \"probability\": 0.5, \"label\": \"x\"},"
                               "{\"class_id\": 0, \"probability\": 1e-3}]},"
                               "{\"image\": \"c\", \"tolerance\": 0, \"predictions\": ["
                               "{\"class_id\": 1, \"probability\": 1}]}]}\n",
                               NULL),
                         0);
        ck_assert_uint_eq(golden_n_answers(golden), 2);
        first = golden_answer(golden, 0);
        second = golden_answer(golden, 1);
        ck_assert_str_eq(first->image, "a/b.jpg");
        ck_assert_double_eq(first->tolerance, 0.25);
        ck_assert_uint_eq(first->n_predictions, 2);
        ck_assert_uint_eq(first->predictions[0].class_id, 7);
        ck_assert_double_eq(first->predictions[0].probability, 0.5);
        ck_assert_str_eq(first->predictions[0].label, "x");
        ck_assert_double_eq(first->predictions[1].probability, 0.001);
        ck_assert_ptr_null(first->predictions[1].label);
        ck_assert_double_eq(second->tolerance, 0);
}
END_TEST

#define ONE(answer)      "{\"answers\":[" answer "]}"
#define PREDICTION       "{\"class_id\":1,\"probability\":0.5}"
#define WITH(prediction) ONE("{\"image\":\"a\",\"predictions\":[" prediction "]}")

START_TEST(golden_file_that_is_wrong_is_refused) {
        static const struct {
                const char *text, *wanted;
        } cases[] = {
                {"", "not a JSON object"},
                {"[]", "not a JSON object"},
                {WITH(PREDICTION) "x", "not a JSON object"},
                {"{\"answers\":", "not a JSON object"},
                {"{}", "answers must be"},
                {"{\"answers\":[]}", "answers must be"},
                {"{\"answers\":{}}", "answers must be"},
                {"{\"tolerence\":0.1,\"answers\":[]}", "'tolerence' is unknown"},
                {"{\"tolerance\":-0.1,\"answers\":[]}", "tolerance must be"},
                {"{\"tolerance\":1.1,\"answers\":[]}", "tolerance must be"},
                {"{\"tolerance\":\"1\",\"answers\":[]}", "tolerance must be"},
                {ONE("1"), "answer 0: it is not an object"},
                {ONE("{}"), "image must be"},
                {ONE("{\"image\":\"../a\",\"predictions\":[" PREDICTION "]}"), "image must be"},
                {ONE("{\"image\":\"/a\",\"predictions\":[" PREDICTION "]}"), "image must be"},
                {ONE("{\"image\":\"a/../../b\",\"predictions\":[" PREDICTION "]}"), "image must be"},
                {ONE("{\"image\":\"\",\"predictions\":[" PREDICTION "]}"), "image must be"},
                {ONE("{\"image\":1,\"predictions\":[" PREDICTION "]}"), "image must be"},
                {ONE("{\"image\":\"a\"}"), "predictions must be"},
                {ONE("{\"image\":\"a\",\"predictions\":[]}"), "predictions must be"},
                {ONE("{\"image\":\"a\",\"preds\":[]}"), "'preds' is unknown"},
                {WITH("1"), "not an object"},
                {WITH("{\"class_id\":1}"), "probability must be"},
                {WITH("{\"probability\":1}"), "class_id must be"},
                {WITH("{\"class_id\":1.5,\"probability\":1}"), "class_id must be"},
                {WITH("{\"class_id\":-1,\"probability\":1}"), "class_id must be"},
                {WITH("{\"class_id\":1e300,\"probability\":1}"), "class_id must be"},
                {WITH("{\"class_id\":1,\"probability\":1.01}"), "probability must be"},
                {WITH("{\"class_id\":1,\"probability\":1,\"label\":2}"), "label must be"},
                {WITH("{\"class_id\":1,\"probability\":1,\"score\":2}"), "'score' is unknown"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct golden *golden = NULL;
                struct error error = ERROR_NONE;

                ck_assert_msg(parse(&golden, cases[i].text, &error) == ERROR_INVALID, "%s", cases[i].text);
                ck_assert_msg(strstr(error.text, cases[i].wanted) && strstr(error.text, GOLDEN_FILE),
                              "%s: '%s'", cases[i].text, error.text);
                ck_assert_ptr_null(golden);
        }
}
END_TEST

START_TEST(golden_file_is_bounded) {
        static char text[1 << 16];
        struct golden *golden = NULL;
        struct error error = ERROR_NONE;
        size_t n = 0;

        n += (size_t)sprintf(text + n, "{\"answers\":[");
        for (unsigned i = 0; i <= GOLDEN_MAX_IMAGES; i++)
                n += (size_t)sprintf(text + n, "%s{\"image\":\"a\",\"predictions\":[" PREDICTION "]}",
                                     i ? "," : "");
        sprintf(text + n, "]}");
        ck_assert_int_eq(parse(&golden, text, &error), ERROR_INVALID);
        ck_assert_msg(strstr(error.text, "1 to 64") != NULL, "%s", error.text);

        struct blob large = {.bytes = (const unsigned char *)text, .size = GOLDEN_MAX_BYTES + 1};
        ck_assert_int_eq(golden_parse(&golden, &large, &error), ERROR_LIMIT);
}
END_TEST

START_TEST(location_is_inside_or_not) {
        static const char *const inside[] = {"a", "a/b.jpg", "...", "..a/b..", "a b"};
        static const char *const outside[] = {"",    "/",    "/a",     ".",    "..",
                                              "./a", "a/..", "a/../b", "a//b", "a\\b"};

        for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
                ck_assert_msg(location_is_inside(inside[i]), "'%s'", inside[i]);
        for (size_t i = 0; i < ARRAY_SIZE(outside); i++)
                ck_assert_msg(!location_is_inside(outside[i]), "'%s'", outside[i]);
}
END_TEST

static void write_file(const char *directory, const char *name, const char *text) {
        char path[256];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        fputs(text, file);
        ck_assert_int_eq(fclose(file), 0);
}

START_TEST(golden_images_lie_in_the_directory) {
        static const struct {
                const char *image;
                int wanted;
                const char *text;
        } cases[] = {
                {"file", 0, NULL},
                {"folder/file", 0, NULL},
                {"link", ERROR_INVALID, "it is a link"},
                {"linked/file", ERROR_INVALID, NULL},
                {"folder", ERROR_INVALID, "not a regular file"},
                {"folder/", ERROR_INVALID, "not a regular file"},
                {"pipe", ERROR_INVALID, "not a regular file"},
                {"large", ERROR_LIMIT, "16777216 bytes"},
                {"none", ERROR_NOT_FOUND, NULL},
                {"folder/none", ERROR_NOT_FOUND, NULL},
                {"file/none", ERROR_INVALID, NULL},
        };
        char directory[] = "/tmp/test_golden.XXXXXX", path[256];

        ck_assert_ptr_nonnull(mkdtemp(directory));
        write_file(directory, "file", "one");
        snprintf(path, sizeof(path), "%s/folder", directory);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        write_file(directory, "folder/file", "two");
        snprintf(path, sizeof(path), "%s/link", directory);
        ck_assert_int_eq(symlink("file", path), 0);
        snprintf(path, sizeof(path), "%s/linked", directory);
        ck_assert_int_eq(symlink("folder", path), 0);
        snprintf(path, sizeof(path), "%s/pipe", directory);
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        write_file(directory, "large", "");
        snprintf(path, sizeof(path), "%s/large", directory);
        ck_assert_int_eq(truncate(path, (off_t)GOLDEN_MAX_IMAGE_BYTES + 1), 0);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(blob_release) struct blob blob = BLOB_NONE;
                struct error error = ERROR_NONE;
                int r = golden_read_image(&blob, directory, cases[i].image, &error);

                ck_assert_msg(r == cases[i].wanted, "%s: %d, '%s'", cases[i].image, r, error.text);
                if (r == 0)
                        ck_assert_mem_eq(blob.bytes, i == 0 ? "one" : "two", 3);
                else
                        ck_assert_msg(!cases[i].text || strstr(error.text, cases[i].text), "%s", error.text);
        }
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                snprintf(path, sizeof(path), "%s/%s", directory, cases[i].image);
                if (strcmp(cases[i].image, "folder") != 0)
                        unlink(path);
        }
        snprintf(path, sizeof(path), "%s/linked", directory);
        unlink(path);
        snprintf(path, sizeof(path), "%s/folder", directory);
        ck_assert_int_eq(rmdir(path), 0);
        ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(golden_file_may_be_missing) {
        struct golden *golden = NULL;

        ck_assert_int_eq(golden_read(&golden, "/nonexistent", NULL), ERROR_NOT_FOUND);
        ck_assert_ptr_null(golden);
}
END_TEST

START_TEST(golden_answers_are_compared) {
        const struct model_source source = embedded_model();
        _cleanup_(model_freep) struct model *model = NULL;
        static float probabilities[1000];
        const struct golden_prediction two[] = {
                {.class_id = 285, .probability = 0.5, .label = "Egyptian cat"},
                {.class_id = 999, .probability = 0.25}};
        const struct golden_prediction tie[] = {{.class_id = 999, .probability = 0.5}};
        const struct golden_prediction beyond[] = {{.class_id = 1000, .probability = 0.5}};
        const struct golden_prediction renamed[] = {{.class_id = 285, .probability = 0.5, .label = "cat"}};
        struct golden_answer answer = {
                .image = "a", .tolerance = 0.125, .predictions = two, .n_predictions = 2};
        struct error error = ERROR_NONE;

        ck_assert_int_eq(model_open_source(&model, &source, NULL, NULL), 0);
        probabilities[285] = 0.375f; /* just within, on either side */
        probabilities[999] = 0.375f;
        ck_assert_int_eq(golden_compare(&answer, model, probabilities, NULL), 0);
        answer.predictions = tie;
        answer.n_predictions = 1;
        ck_assert_int_eq(golden_compare(&answer, model, probabilities, NULL), 0);

        probabilities[3] = 0.4f;
        ck_assert_int_eq(golden_compare(&answer, model, probabilities, &error), ERROR_INVALID);
        ck_assert_msg(strstr(error.text,
                             "golden.json: image 'a': class 3 has probability 0.400000, more than the "
                             "expected class 999") != NULL,
                      "%s", error.text);
        probabilities[3] = 0;
        probabilities[999] = 0.37f;
        ck_assert_int_eq(golden_compare(&answer, model, probabilities, &error), ERROR_INVALID);
        ck_assert_msg(strstr(error.text, "expected 0.500000 within 0.125") != NULL, "%s", error.text);
        probabilities[999] = NAN;
        ck_assert_int_eq(golden_compare(&answer, model, probabilities, NULL), ERROR_INVALID);
        answer.predictions = beyond;
        ck_assert_int_eq(golden_compare(&answer, model, probabilities, &error), ERROR_INVALID);
        ck_assert_msg(strstr(error.text, "has 1000 classes") != NULL, "%s", error.text);
        probabilities[999] = 0;
        answer.predictions = renamed;
        ck_assert_int_eq(golden_compare(&answer, model, probabilities, &error), ERROR_INVALID);
        ck_assert_msg(strstr(error.text, "to be called 'cat', not 'Egyptian cat'") != NULL, "%s",
                      error.text);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("golden");

        tcase_add_test(tests, golden_file_is_read);
        tcase_add_test(tests, golden_file_that_is_wrong_is_refused);
        tcase_add_test(tests, golden_file_is_bounded);
        tcase_add_test(tests, location_is_inside_or_not);
        tcase_add_test(tests, golden_images_lie_in_the_directory);
        tcase_add_test(tests, golden_file_may_be_missing);
        tcase_add_test(tests, golden_answers_are_compared);
        return suite_run_as("golden", tests);
}
