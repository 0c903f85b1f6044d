#include "engine/tuning.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/blob.h"
#include "base/file.h"

#define FILE_MAGIC     "saccade tuning 1"
#define CHECKSUM_WORD  "sha256"
#define CHECKSUM_CHARS (2u * SHA256_DIGEST_SIZE)

struct answer {
        char *question, *label;
};

struct tuning {
        pthread_mutex_t lock;
        struct answer *answers; /* sorted by question */
        size_t n, n_allocated;
};

int tuning_new(struct tuning **ret_tuning, struct error *error) {
        struct tuning *tuning = calloc(1, sizeof(*tuning));

        if (!tuning)
                return error_no_memory(error);
        pthread_mutex_init(&tuning->lock, NULL);
        *ret_tuning = tuning;
        return 0;
}

void tuning_free(struct tuning *tuning) {
        for (size_t i = 0; i < tuning->n; i++) {
                free(tuning->answers[i].question);
                free(tuning->answers[i].label);
        }
        free(tuning->answers);
        pthread_mutex_destroy(&tuning->lock);
        free(tuning);
}

/* The place of question, or where it belongs. */
static size_t position_of(const struct tuning *tuning, const char *question, bool *ret_found) {
        size_t low = 0, high = tuning->n;

        *ret_found = false;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(tuning->answers[middle].question, question);

                if (order == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

bool tuning_find(struct tuning *tuning, const char *question, char ret_label[TUNING_MAX_TEXT]) {
        bool found;
        size_t at;

        pthread_mutex_lock(&tuning->lock);
        at = position_of(tuning, question, &found);
        if (found)
                strcpy(ret_label, tuning->answers[at].label); /* tuning_answer() has seen to its length */
        pthread_mutex_unlock(&tuning->lock);
        return found;
}

static bool is_text(const char *text) {
        size_t length = strnlen(text, TUNING_MAX_TEXT);

        for (size_t i = 0; i < length; i++)
                if ((unsigned char)text[i] < ' ')
                        return false;
        return length > 0 && length < TUNING_MAX_TEXT;
}

static void answer_locked(struct tuning *tuning, const char *question, const char *label) {
        _cleanup_(freep) char *question_copy = strdup(question), *label_copy = strdup(label);
        size_t at;
        bool found;

        at = position_of(tuning, question, &found);
        if (!question_copy || !label_copy || (!found && tuning->n == TUNING_MAX_ANSWERS))
                return;
        if (found) {
                free(tuning->answers[at].label);
                tuning->answers[at].label = steal_ptr(&label_copy);
                return;
        }
        if (tuning->n == tuning->n_allocated) {
                size_t n = MAX(2 * tuning->n_allocated, 64u);
                struct answer *answers = reallocarray(tuning->answers, n, sizeof(*answers));

                if (!answers)
                        return;
                tuning->answers = answers;
                tuning->n_allocated = n;
        }
        memmove(&tuning->answers[at + 1], &tuning->answers[at], (tuning->n - at) * sizeof(struct answer));
        tuning->answers[at] = (struct answer){steal_ptr(&question_copy), steal_ptr(&label_copy)};
        tuning->n++;
}

void tuning_answer(struct tuning *tuning, const char *question, const char *label) {
        if (!is_text(question) || !is_text(label))
                return;
        pthread_mutex_lock(&tuning->lock);
        answer_locked(tuning, question, label);
        pthread_mutex_unlock(&tuning->lock);
}

size_t tuning_n_answers(struct tuning *tuning) {
        size_t n;

        pthread_mutex_lock(&tuning->lock);
        n = tuning->n;
        pthread_mutex_unlock(&tuning->lock);
        return n;
}

/* ---- files ---- */

static void checksum(char ret_text[CHECKSUM_CHARS + 1], const void *bytes, size_t size) {
        uint8_t digest[SHA256_DIGEST_SIZE];
        struct sha256_ctx context;

        sha256_init(&context);
        sha256_update(&context, size, bytes);
        sha256_digest(&context, sizeof(digest), digest);
        for (size_t i = 0; i < sizeof(digest); i++)
                snprintf(ret_text + 2 * i, 3, "%02x", digest[i]);
}

/* The next line of [*at, end), without its newline; NULL where none is complete. */
static char *next_line(char **at, char *end) {
        char *line = *at, *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;

        if (!newline)
                return NULL;
        *newline = '\0';
        *at = newline + 1;
        return line;
}

int tuning_parse_lines(struct tuning *tuning, const void *bytes, size_t size, const char *identity,
                       struct error *error) {
        _cleanup_(freep) char *copy = malloc(size + 1);
        char *text = copy, *end, *line;

        if (!copy)
                return error_no_memory(error);
        memcpy(copy, bytes, size);
        end = copy + size;
        line = next_line(&text, end);
        if (!line || strcmp(line, FILE_MAGIC) != 0)
                return error_set(error, ERROR_INVALID, "the first line is not '" FILE_MAGIC "'");
        line = next_line(&text, end);
        if (!line || strcmp(line, identity) != 0)
                return error_set(error, ERROR_INVALID, "measured with something else: '%s'",
                                 line ? line : "");
        /* All lines are looked at before the first is taken. */
        for (const char *at = text, *newline; at < end; at = newline + 1) {
                newline = memchr(at, '\n', (size_t)(end - at));
                if (!newline)
                        break;
                if (!memchr(at, '\t', (size_t)(newline - at)))
                        return error_set(error, ERROR_INVALID, "a line without a tab");
        }
        while ((line = next_line(&text, end))) {
                char *tab = strchr(line, '\t');

                if (!tab)
                        continue;
                *tab = '\0';
                tuning_answer(tuning, line, tab + 1);
        }
        return 0;
}

int tuning_parse(struct tuning *tuning, const void *bytes, size_t size, const char *identity,
                 struct error *error) {
        size_t tail = strlen(CHECKSUM_WORD) + 1 + CHECKSUM_CHARS + 1;
        const char *text = bytes, *sum = size < tail ? text : text + size - tail;
        char expected[CHECKSUM_CHARS + 1];

        if (size > TUNING_MAX_FILE_BYTES)
                return error_set(error, ERROR_INVALID, "%zu bytes, the limit is %zu", size,
                                 TUNING_MAX_FILE_BYTES);
        if (size < tail || memchr(bytes, '\0', size))
                return error_set(error, ERROR_INVALID, "cut off, or no text");
        checksum(expected, text, size - tail);
        if (memcmp(sum, CHECKSUM_WORD " ", strlen(CHECKSUM_WORD) + 1) != 0 ||
            memcmp(text + size - 1 - CHECKSUM_CHARS, expected, CHECKSUM_CHARS) != 0 ||
            text[size - 1] != '\n')
                return error_set(error, ERROR_INVALID, "the checksum at the end is not that of the text");
        return tuning_parse_lines(tuning, bytes, size - tail, identity, error);
}

static int path_of(char **ret_path, const char *directory, const char *version, const char *suffix,
                   struct error *error) {
        if (asprintf(ret_path, "%s/%s.tuning%s", directory, version, suffix) < 0) {
                *ret_path = NULL;
                return error_no_memory(error);
        }
        return 0;
}

int tuning_load(struct tuning *tuning, const char *directory, const char *version, const char *identity,
                struct error *error) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        _cleanup_(freep) char *path = NULL;
        int r;

        r = path_of(&path, directory, version, "", error);
        if (r >= 0)
                r = blob_read(&blob, path, TUNING_MAX_FILE_BYTES, error);
        if (r < 0)
                return r;
        r = tuning_parse(tuning, blob.bytes, blob.size, identity, error);
        return r < 0 ? error_prefix(error, r, "%s", path) : 0;
}

/* All answers as the text of a file. */
static int tuning_print(struct tuning *tuning, const char *identity, char **ret_text, size_t *ret_size,
                        struct error *error) {
        _cleanup_(freep) char *text = NULL;
        char sum[CHECKSUM_CHARS + 1];
        size_t size = 0;
        FILE *file;

        file = open_memstream(&text, &size);
        if (!file)
                return error_no_memory(error);
        fprintf(file, "%s\n%s\n", FILE_MAGIC, identity);
        pthread_mutex_lock(&tuning->lock);
        for (size_t i = 0; i < tuning->n; i++)
                fprintf(file, "%s\t%s\n", tuning->answers[i].question, tuning->answers[i].label);
        pthread_mutex_unlock(&tuning->lock);
        if (fflush(file) == 0) {
                checksum(sum, text, size);
                fprintf(file, "%s %s\n", CHECKSUM_WORD, sum);
        }
        if (fclose(file) != 0)
                return error_no_memory(error);
        *ret_text = steal_ptr(&text);
        *ret_size = size;
        return 0;
}

static int make_directories(const char *path, struct error *error) {
        _cleanup_(freep) char *copy = strdup(path);

        if (!copy)
                return error_no_memory(error);
        for (char *slash = copy; slash; slash = strchr(slash + 1, '/')) {
                if (slash == copy)
                        continue;
                *slash = '\0';
                if (mkdir(copy, 0777) < 0 && errno != EEXIST)
                        return error_set(error, ERROR_IO, "%s: %s", copy, strerror(errno));
                *slash = '/';
        }
        if (mkdir(copy, 0777) < 0 && errno != EEXIST)
                return error_set(error, ERROR_IO, "%s: %s", copy, strerror(errno));
        return 0;
}

int tuning_save(struct tuning *tuning, const char *directory, const char *version, const char *identity,
                struct error *error) {
        _cleanup_(freep) char *path = NULL, *temporary = NULL, *text = NULL;
        _cleanup_(closep) int fd = -1;
        size_t size;
        int r;

        r = make_directories(directory, error);
        if (r >= 0)
                r = path_of(&path, directory, version, "", error);
        if (r >= 0)
                r = path_of(&temporary, directory, version, ".XXXXXX", error);
        if (r >= 0)
                r = tuning_print(tuning, identity, &text, &size, error);
        if (r < 0)
                return r;
        fd = mkostemp(temporary, O_CLOEXEC);
        if (fd < 0)
                return error_set(error, ERROR_IO, "%s: %s", temporary, strerror(errno));
        if (fchmod(fd, 0644) < 0 || file_write(fd, text, size) < 0 || rename(temporary, path) < 0) {
                r = error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
                unlink(temporary);
                return r;
        }
        return 0;
}
