#include "quantize/pictures.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/blob.h"
#include "engine/image/image.h"

#define PICTURES_MAX_FILE_BYTES   ((size_t)256 << 20)
#define PICTURES_MAX_LABELS_BYTES ((size_t)64 << 20)

static void closedirp(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

static int compare_pictures(const void *a, const void *b) {
        return strcmp(((const struct picture *)a)->name, ((const struct picture *)b)->name);
}

static int is_image(bool *ret_is_image, const char *directory, const char *name, struct error *error) {
        _cleanup_(freep) char *path = NULL;
        _cleanup_(closep) int fd = -1;
        unsigned char head[16];
        struct stat st;
        ssize_t n;

        if (asprintf(&path, "%s/%s", directory, name) < 0) {
                path = NULL;
                return error_no_memory(error);
        }
        /* O_NONBLOCK: a FIFO or a terminal's device must not hang the caller. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        *ret_is_image = false;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return 0;
        n = read(fd, head, sizeof(head));
        *ret_is_image = n > 0 && image_format_of(head, (size_t)n) != IMAGE_FORMAT_UNKNOWN;
        return 0;
}

static int pictures_list(struct pictures *pictures, const char *path, struct error *error) {
        _cleanup_(closedirp) DIR *directory = opendir(path);
        size_t capacity = 0;
        struct dirent *entry;
        int r;

        if (!directory)
                return error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, "%s: %s%s", path,
                                 strerror(errno),
                                 errno == ENOTDIR ? " (a folder with photographs is needed)" : "");
        while ((entry = readdir(directory))) {
                bool image;

                if (entry->d_name[0] == '.')
                        continue;
                r = is_image(&image, path, entry->d_name, error);
                if (r < 0)
                        return r;
                if (!image)
                        continue;
                if (pictures->n == capacity) {
                        size_t n = MAX(2 * capacity, (size_t)256);
                        struct picture *grown = reallocarray(pictures->pictures, n, sizeof(*grown));

                        if (!grown)
                                return error_no_memory(error);
                        pictures->pictures = grown;
                        capacity = n;
                }
                pictures->pictures[pictures->n] =
                        (struct picture){.name = strdup(entry->d_name), .class = PICTURES_NO_CLASS};
                if (!pictures->pictures[pictures->n].name)
                        return error_no_memory(error);
                pictures->n++;
        }
        if (pictures->n == 0)
                return error_set(error, ERROR_NOT_FOUND,
                                 "%s: no image in it; give a folder with some 50 photographs of the kind "
                                 "that the model will see",
                                 path);
        qsort(pictures->pictures, pictures->n, sizeof(*pictures->pictures), compare_pictures);
        return 0;
}

/* Of n things, evenly: the i-th of `taken`. */
static size_t evenly(size_t i, size_t n, size_t taken) {
        return i * n / taken;
}

static void pictures_thin(struct pictures *pictures, size_t taken) {
        size_t next = 0;

        if (taken >= pictures->n)
                return;
        for (size_t i = 0; i < pictures->n; i++) {
                if (next < taken && i == evenly(next, pictures->n, taken))
                        pictures->pictures[next++] = pictures->pictures[i];
                else
                        free(pictures->pictures[i].name);
        }
        pictures->n = taken;
}

struct decoding {
        struct pictures *pictures;
        const char *directory;
        const struct preprocess *preprocess;
        struct image_decoder **decoders; /* one a thread */
        unsigned n_decoders;
        char **problems; /* one a picture; NULL: it is decoded */
};

static void decoding_release(struct decoding *decoding) {
        for (unsigned i = 0; decoding->decoders && i < decoding->n_decoders; i++)
                if (decoding->decoders[i])
                        image_decoder_free(decoding->decoders[i]);
        free(decoding->decoders);
        for (size_t i = 0; decoding->problems && i < decoding->pictures->n; i++)
                free(decoding->problems[i]);
        free(decoding->problems);
}

static int picture_decode(struct decoding *decoding, struct image_decoder *decoder, size_t index,
                          struct error *error) {
        const struct image_options options = {0};
        struct pictures *pictures = decoding->pictures;
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", decoding->directory, pictures->pictures[index].name) < 0) {
                path = NULL;
                return error_no_memory(error);
        }
        r = blob_read(&blob, path, PICTURES_MAX_FILE_BYTES, error);
        if (r < 0)
                return r;
        r = image_decode(decoder, pictures->pixels + index * pictures->image_bytes, decoding->preprocess,
                         &options, blob.bytes, blob.size, NULL, error);
        return r < 0 ? error_prefix(error, r, "%s", path) : 0;
}

static int decode_work(void *context, unsigned thread, size_t index, struct error *error) {
        struct decoding *decoding = context;
        struct error problem = ERROR_NONE;
        int r;

        if (!decoding->decoders[thread]) {
                r = image_decoder_new(&decoding->decoders[thread], error);
                if (r < 0)
                        return r;
        }
        r = picture_decode(decoding, decoding->decoders[thread], index, &problem);
        if (r == ERROR_NO_MEMORY)
                return error_no_memory(error);
        if (r < 0) {
                decoding->problems[index] = strdup(problem.text);
                if (!decoding->problems[index])
                        return error_no_memory(error);
        }
        return 0;
}

/* Keeps what was decoded, in order. */
static void pictures_drop_unread(struct pictures *pictures, char **problems) {
        size_t n = 0;

        for (size_t i = 0; i < pictures->n; i++) {
                if (problems[i]) {
                        if (pictures->n_unread++ == 0)
                                pictures->unread_why = steal_ptr(&problems[i]);
                        free(problems[i]);
                        problems[i] = NULL;
                        free(pictures->pictures[i].name);
                        continue;
                }
                pictures->pictures[n] = pictures->pictures[i];
                if (n != i)
                        memcpy(pictures->pixels + n * pictures->image_bytes,
                               pictures->pixels + i * pictures->image_bytes, pictures->image_bytes);
                n++;
        }
        pictures->n = n;
}

static int pictures_decode(struct pictures *pictures, const char *directory, const struct model *model,
                           const struct parallel *parallel, struct error *error) {
        _cleanup_(decoding_release) struct decoding decoding = {
                .pictures = pictures,
                .directory = directory,
                .preprocess = model_preprocess(model),
                .n_decoders = parallel->threads,
        };
        size_t bytes;
        int r;

        decoding.decoders = calloc(parallel->threads, sizeof(struct image_decoder *));
        decoding.problems = calloc(pictures->n, sizeof(char *));
        if (!decoding.decoders || !decoding.problems ||
            !size_multiply(&bytes, pictures->n, pictures->image_bytes))
                return error_no_memory(error);
        pictures->pixels = malloc(bytes);
        if (!pictures->pixels)
                return error_no_memory(error);
        r = parallel_run(parallel, pictures->n, decode_work, &decoding, error);
        if (r < 0)
                return r;
        pictures_drop_unread(pictures, decoding.problems);
        if (pictures->n == 0)
                return error_set(error, ERROR_NOT_FOUND, "%s: none of %zu images can be decoded: %s",
                                 directory, pictures->n_unread, pictures->unread_why);
        return 0;
}

int pictures_read(struct pictures **ret_pictures, const char *directory, const struct model *model,
                  const struct parallel *parallel, struct error *error) {
        _cleanup_(pictures_freep) struct pictures *pictures = calloc(1, sizeof(*pictures));
        struct model_input input = model_input(model);
        int r;

        if (!pictures)
                return error_no_memory(error);
        if (input.channels != 3)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "model %s takes %zu channels; images need a model of 3", model_name(model),
                                 input.channels);
        if (!size_multiply(&pictures->image_bytes, input.height, input.width) ||
            !size_multiply(&pictures->image_bytes, pictures->image_bytes, input.channels))
                return error_no_memory(error);
        r = pictures_list(pictures, directory, error);
        if (r < 0)
                return r;
        pictures->n_found = pictures->n;
        pictures_thin(pictures,
                      MAX(MIN((size_t)PICTURES_MAX, PICTURES_MAX_BYTES / pictures->image_bytes), 1u));
        r = pictures_decode(pictures, directory, model, parallel, error);
        if (r < 0)
                return r;
        *ret_pictures = steal_ptr(&pictures);
        return 0;
}

void pictures_free(struct pictures *pictures) {
        for (size_t i = 0; i < pictures->n; i++)
                free(pictures->pictures[i].name);
        free(pictures->pictures);
        free(pictures->pixels);
        free(pictures->unread_why);
        free(pictures);
}

/* ---- labels ---- */

static int line_read(struct pictures *pictures, char *line, size_t n_classes, struct error *error) {
        struct picture key, *found;
        char *end;
        long class;

        errno = 0;
        class = strtol(line, &end, 10);
        if (end == line || *end != '\t' || errno != 0)
                return error_set(error, ERROR_INVALID, "a class, a tabulator and a file name are expected");
        if (class < 0 || (size_t) class >= n_classes)
                return error_set(error, ERROR_INVALID, "class %ld; the model has %zu, from 0 on", class,
                                 n_classes);
        key.name = end + 1;
        found = bsearch(&key, pictures->pictures, pictures->n, sizeof(*pictures->pictures),
                        compare_pictures);
        if (!found)
                return 0;
        pictures->n_labelled += found->class == PICTURES_NO_CLASS;
        found->class = (int)class;
        return 0;
}

int pictures_label(struct pictures *pictures, const char *path, size_t n_classes, struct error *error) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        _cleanup_(freep) char *text = NULL;
        char *rest, *line;
        int r;

        r = blob_read(&blob, path, PICTURES_MAX_LABELS_BYTES, error);
        if (r < 0)
                return r;
        text = strndup((const char *)blob.bytes, blob.size);
        if (!text)
                return error_no_memory(error);
        rest = text;
        for (size_t number = 1; (line = strsep(&rest, "\n")); number++) {
                line[strcspn(line, "\r")] = '\0';
                if (line[0] == '\0')
                        continue;
                r = line_read(pictures, line, n_classes, error);
                if (r < 0)
                        return error_prefix(error, r, "%s:%zu", path, number);
        }
        if (pictures->n_labelled == 0)
                return error_set(error, ERROR_NOT_FOUND, "%s: names none of the images in the folder", path);
        return 0;
}
