/* Bodies and paths of POST /v2/repository/...: the bytes up to the first newline are a path. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proto/repository.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        const uint8_t *newline = memchr(bytes, '\n', size);
        size_t path_bytes = newline ? (size_t)(newline - bytes) : size, n;
        _cleanup_(freep) char *path = calloc(path_bytes + 1, 1);
        enum repository_verb verb;
        bool ready_only;

        if (!path)
                return 0;
        memcpy(path, bytes, path_bytes);
        if (repository_path_parse(path, &n, &verb) && (n == 0 || n >= strlen(path)))
                abort();
        if (newline) {
                bytes += path_bytes + 1;
                size -= path_bytes + 1;
        }
        (void)repository_index_parse(&ready_only, bytes, size, NULL);
        (void)repository_load_parse(bytes, size, NULL);
        (void)repository_unload_parse(bytes, size, NULL);
        return 0;
}
