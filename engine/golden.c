#include "engine/golden.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pool.h"
#include "engine/location.h"
#include "engine/model.h"

struct golden {
        struct pool *pool;
        struct golden_answer *answers;
        size_t n_answers;
};

static void cjsonp(cJSON **json) {
        cJSON_Delete(*json);
}

/* ---- golden.json ---- */

/* Every member of object is one of names, which end with NULL. */
static int members_check(const cJSON *object, const char *const *names, struct error *error) {
        const cJSON *member;

        cJSON_ArrayForEach(member, object) {
                size_t i = 0;

                while (names[i] && strcmp(names[i], member->string) != 0)
                        i++;
                if (!names[i])
                        return error_set(error, ERROR_INVALID, "the member '%.64s' is unknown",
                                         member->string);
        }
        return 0;
}

/* Leaves *tolerance where object has none. */
static int tolerance_read(double *tolerance, const cJSON *object, struct error *error) {
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, "tolerance");

        if (!number)
                return 0;
        if (!cJSON_IsNumber(number) || !(number->valuedouble >= 0) || number->valuedouble > 1)
                return error_set(error, ERROR_INVALID, "tolerance must be a number from 0 to 1");
        *tolerance = number->valuedouble;
        return 0;
}

static int prediction_read(struct golden_prediction *prediction, struct pool *pool, const cJSON *object,
                           struct error *error) {
        static const char *const names[] = {"class_id", "probability", "label", NULL};
        const cJSON *class_id = cJSON_GetObjectItemCaseSensitive(object, "class_id");
        const cJSON *probability = cJSON_GetObjectItemCaseSensitive(object, "probability");
        const cJSON *label = cJSON_GetObjectItemCaseSensitive(object, "label");
        int r;

        if (!cJSON_IsObject(object))
                return error_set(error, ERROR_INVALID, "a prediction is not an object");
        r = members_check(object, names, error);
        if (r < 0)
                return r;
        if (!cJSON_IsNumber(class_id) || !(class_id->valuedouble >= 0) ||
            class_id->valuedouble > (double)UINT32_MAX ||
            floor(class_id->valuedouble) != class_id->valuedouble)
                return error_set(error, ERROR_INVALID, "class_id must be a whole number");
        if (!cJSON_IsNumber(probability) || !(probability->valuedouble >= 0) || probability->valuedouble > 1)
                return error_set(error, ERROR_INVALID, "probability must be a number from 0 to 1");
        if (label && !cJSON_IsString(label))
                return error_set(error, ERROR_INVALID, "label must be a string");
        prediction->class_id = (size_t)class_id->valuedouble;
        prediction->probability = probability->valuedouble;
        prediction->label = label ? pool_string(pool, label->valuestring) : NULL;
        return label && !prediction->label ? error_no_memory(error) : 0;
}

static int answer_read(struct golden_answer *answer, struct pool *pool, const cJSON *object,
                       struct error *error) {
        static const char *const names[] = {"image", "tolerance", "predictions", NULL};
        const cJSON *image = cJSON_GetObjectItemCaseSensitive(object, "image");
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "predictions"), *entry;
        struct golden_prediction *predictions;
        size_t n, i = 0;
        int r;

        if (!cJSON_IsObject(object))
                return error_set(error, ERROR_INVALID, "it is not an object");
        r = members_check(object, names, error);
        if (r >= 0)
                r = tolerance_read(&answer->tolerance, object, error);
        if (r < 0)
                return r;
        if (!cJSON_IsString(image) || !location_is_inside(image->valuestring))
                return error_set(error, ERROR_INVALID,
                                 "image must be the name of a file in the model's directory");
        n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
        if (n == 0 || n > GOLDEN_MAX_PREDICTIONS)
                return error_set(error, ERROR_INVALID, "predictions must be an array of 1 to %u",
                                 GOLDEN_MAX_PREDICTIONS);
        answer->image = pool_string(pool, image->valuestring);
        predictions = pool_allocate(pool, n, sizeof(*predictions));
        if (!answer->image || !predictions)
                return error_no_memory(error);
        cJSON_ArrayForEach(entry, list) {
                r = prediction_read(&predictions[i++], pool, entry, error);
                if (r < 0)
                        return r;
        }
        answer->predictions = predictions;
        answer->n_predictions = n;
        return 0;
}

static int answers_read(struct golden *golden, const cJSON *json, struct error *error) {
        static const char *const names[] = {"tolerance", "answers", NULL};
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "answers"), *entry;
        double tolerance = GOLDEN_TOLERANCE;
        size_t n;
        int r;

        r = members_check(json, names, error);
        if (r >= 0)
                r = tolerance_read(&tolerance, json, error);
        if (r < 0)
                return r;
        n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
        if (n == 0 || n > GOLDEN_MAX_IMAGES)
                return error_set(error, ERROR_INVALID, "answers must be an array of 1 to %u",
                                 GOLDEN_MAX_IMAGES);
        golden->answers = pool_allocate(golden->pool, n, sizeof(*golden->answers));
        if (!golden->answers)
                return error_no_memory(error);
        cJSON_ArrayForEach(entry, list) {
                golden->answers[golden->n_answers].tolerance = tolerance;
                r = answer_read(&golden->answers[golden->n_answers], golden->pool, entry, error);
                if (r < 0)
                        return error_prefix(error, r, "answer %zu", golden->n_answers);
                golden->n_answers++;
        }
        return 0;
}

int golden_parse(struct golden **ret_golden, const struct blob *json, struct error *error) {
        _cleanup_(golden_freep) struct golden *golden = NULL;
        _cleanup_(cjsonp) cJSON *root = NULL;
        const char *text = (const char *)json->bytes, *end = NULL;
        int r;

        if (json->size > GOLDEN_MAX_BYTES)
                return error_set(error, ERROR_LIMIT, "%s: %zu bytes, the limit is %zu", GOLDEN_FILE,
                                 json->size, GOLDEN_MAX_BYTES);
        root = json->size > 0 ? cJSON_ParseWithLengthOpts(text, json->size, &end, false) : NULL;
        while (root && end < text + json->size && strchr(" \t\r\n", *end) && *end)
                end++;
        if (!cJSON_IsObject(root) || end < text + json->size)
                return error_set(error, ERROR_INVALID, "%s: not a JSON object", GOLDEN_FILE);
        golden = calloc(1, sizeof(*golden));
        if (!golden)
                return error_no_memory(error);
        golden->pool = pool_new();
        if (!golden->pool)
                return error_no_memory(error);
        r = answers_read(golden, root, error);
        if (r < 0)
                return error_prefix(error, r, "%s", GOLDEN_FILE);
        *ret_golden = steal_ptr(&golden);
        return 0;
}

int golden_read(struct golden **ret_golden, const char *directory, struct error *error) {
        _cleanup_(blob_release) struct blob json = BLOB_NONE;
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", directory, GOLDEN_FILE) < 0) {
                path = NULL;
                return error_no_memory(error);
        }
        r = blob_read(&json, path, GOLDEN_MAX_BYTES, error);
        if (r < 0)
                return r;
        return golden_parse(ret_golden, &json, error);
}

void golden_free(struct golden *golden) {
        if (golden->pool)
                pool_free(golden->pool);
        free(golden);
}

size_t golden_n_answers(const struct golden *golden) {
        return golden->n_answers;
}

const struct golden_answer *golden_answer(const struct golden *golden, size_t index) {
        return &golden->answers[index];
}

/* ---- images ---- */

/* Word by word, so that no link on the way is followed, whenever it was put there. */
static int open_inside(int *ret_fd, const char *directory, const char *image, struct error *error) {
        _cleanup_(closep) int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        char word[256];

        while (fd >= 0 && *image) {
                size_t n = strcspn(image, "/");
                bool last = image[n] == 0;
                int next;

                if (n >= sizeof(word))
                        return error_set(error, ERROR_INVALID, "the name is too long");
                memcpy(word, image, n);
                word[n] = 0;
                /* Not to be held up by a pipe. */
                next = openat(fd, word,
                              O_CLOEXEC | O_NOFOLLOW |
                                      (last ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY));
                if (next < 0)
                        break;
                close(fd);
                fd = next;
                image += n + !last;
        }
        if (fd < 0 || *image)
                return error_set(error,
                                 errno == ENOENT                      ? ERROR_NOT_FOUND
                                 : errno == ELOOP || errno == ENOTDIR ? ERROR_INVALID
                                                                      : ERROR_IO,
                                 "%s", errno == ELOOP ? "it is a link" : strerror(errno));
        *ret_fd = fd;
        fd = -1;
        return 0;
}

static int read_all(struct blob *ret_blob, int fd, struct error *error) {
        _cleanup_(freep) unsigned char *bytes = NULL;
        struct stat st;
        size_t size = 0;

        if (fstat(fd, &st) < 0)
                return error_set(error, ERROR_IO, "%s", strerror(errno));
        if (!S_ISREG(st.st_mode))
                return error_set(error, ERROR_INVALID, "not a regular file");
        if (st.st_size > (off_t)GOLDEN_MAX_IMAGE_BYTES)
                return error_set(error, ERROR_LIMIT, "more than %zu bytes", GOLDEN_MAX_IMAGE_BYTES);
        bytes = malloc((size_t)st.st_size + 1);
        if (!bytes)
                return error_no_memory(error);
        while (size < (size_t)st.st_size) {
                ssize_t n = read(fd, bytes + size, (size_t)st.st_size - size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_set(error, ERROR_IO, "%s", n < 0 ? strerror(errno) : "it has shrunk");
                size += (size_t)n;
        }
        *ret_blob = (struct blob){.bytes = bytes, .size = size, .owned = bytes};
        steal_ptr(&bytes);
        return 0;
}

int golden_read_image(struct blob *ret_image, const char *directory, const char *image,
                      struct error *error) {
        _cleanup_(closep) int fd = -1;
        int r;

        r = open_inside(&fd, directory, image, error);
        if (r >= 0)
                r = read_all(ret_image, fd, error);
        return r < 0 ? error_prefix(error, r, "%s: image '%s'", GOLDEN_FILE, image) : 0;
}

/* ---- comparing ---- */

static int prediction_compare(const struct golden_prediction *prediction, double tolerance,
                              const struct model *model, const float *probabilities, struct error *error) {
        size_t id = prediction->class_id;
        const char *label = model_label(model, id);

        if (id >= model_n_classes(model))
                return error_set(error, ERROR_INVALID, "class %zu is expected, the model has %zu classes",
                                 id, model_n_classes(model));
        if (prediction->label && (!label || strcmp(prediction->label, label) != 0))
                return error_set(error, ERROR_INVALID, "class %zu is to be called '%.100s', not '%.100s'",
                                 id, prediction->label, label ? label : "");
        /* Turned round, so that NaN does not pass. */
        if (!(fabs((double)probabilities[id] - prediction->probability) <= tolerance))
                return error_set(error, ERROR_INVALID,
                                 "class %zu has probability %.6f, expected %.6f within %g", id,
                                 (double)probabilities[id], prediction->probability, tolerance);
        return 0;
}

int golden_compare(const struct golden_answer *answer, const struct model *model, const float *probabilities,
                   struct error *error) {
        size_t first = answer->predictions[0].class_id;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < answer->n_predictions; i++)
                r = prediction_compare(&answer->predictions[i], answer->tolerance, model, probabilities,
                                       error);
        for (size_t id = 0; r >= 0 && id < model_n_classes(model); id++)
                if (probabilities[id] > probabilities[first])
                        r = error_set(
                                error, ERROR_INVALID,
                                "class %zu has probability %.6f, more than the expected class %zu with "
                                "%.6f",
                                id, (double)probabilities[id], first, (double)probabilities[first]);
        return r < 0 ? error_prefix(error, r, "%s: image '%s'", GOLDEN_FILE, answer->image) : 0;
}
