#include "cli/common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "cli/terminal.h"
#include "models/embedded.h"

const char *const PRECISION_CHOICES[] = {"auto", "f32", "bf16", "int8", NULL};

int common_fail(const char *command, enum exit_status status, const struct error *error) {
        /* The text may quote a file: nothing in it may reach the terminal as a control sequence. */
        fprintf(stderr, "saccade%s%s: ", command ? " " : "", command ? command : "");
        terminal_print_text(stderr, error->text, SIZE_MAX);
        fputc('\n', stderr);
        return (int)status;
}

int common_open_model(struct model **ret_model, const char *path, int precision,
                      const struct model_watch *watch, struct error *error) {
        const struct model_options options = {.precision = (enum precision)precision, .watch = watch};
        struct model_source source;

        if (path)
                return model_open_with(ret_model, path, NULL, &options, error);
        source = embedded_model();
        return model_open_source_with(ret_model, &source, NULL, &options, error);
}

static int read_stream(struct blob *ret_blob, int fd, const char *path, size_t max_bytes,
                       struct error *error) {
        _cleanup_(freep) unsigned char *bytes = NULL;
        size_t size = 0, capacity = 0;

        for (;;) {
                ssize_t n;

                if (size == capacity) {
                        size_t grown = MIN(MAX(capacity * 2, (size_t)65536), max_bytes + 1);
                        unsigned char *larger;

                        if (size > max_bytes)
                                return error_set(error, ERROR_LIMIT, "%s: more than %zu bytes", path,
                                                 max_bytes);
                        larger = realloc(bytes, grown);
                        if (!larger)
                                return error_no_memory(error);
                        bytes = larger;
                        capacity = grown;
                }
                n = read(fd, bytes + size, capacity - size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
                if (n == 0)
                        break;
                size += (size_t)n;
        }
        *ret_blob = (struct blob){.bytes = bytes, .size = size, .owned = bytes};
        steal_ptr(&bytes);
        return 0;
}

int common_read_input(struct blob *ret_blob, const char *path, size_t max_bytes, struct error *error) {
        struct stat st;
        int fd, r;

        if (strcmp(path, "-") == 0)
                return read_stream(ret_blob, STDIN_FILENO, "stdin", max_bytes, error);
        if (stat(path, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
                return blob_read(ret_blob, path, max_bytes, error);
        /* "saccade classify <(curl ...)" */
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        r = read_stream(ret_blob, fd, path, max_bytes, error);
        close(fd);
        return r;
}

void common_json_number(cJSON *object, const char *key, double number) {
        char text[40];

        snprintf(text, sizeof(text), "%.6g", number);
        cJSON_AddRawToObject(object, key, text);
}

int common_print_json(cJSON *object, struct error *error) {
        _cleanup_(freep) char *text = object ? cJSON_PrintUnformatted(object) : NULL;

        cJSON_Delete(object);
        if (!text)
                return error_no_memory(error);
        printf("%s\n", text);
        return 0;
}

void common_fill_noise(unsigned char *pixels, size_t size) {
        uint32_t state = 1;

        for (size_t i = 0; i < size; i++) {
                /* xorshift32 of Marsaglia, "Xorshift RNGs", 2003 */
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                pixels[i] = (unsigned char)(state >> 24);
        }
}
