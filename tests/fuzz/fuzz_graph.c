/* As fuzz_onnx.c, but the mutations are of the graph (graph/mutator.h), and external data has a directory to
 * point into, and out of. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "engine/onnx_reader.h"
#include "tests/fuzz/exercise.h"
#include "tests/fuzz/graph/mutator.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
/* libFuzzer's own mutations; absent where a corpus is replayed. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *ret_bytes, size_t max_size, unsigned seed);

static char directory[] = "/tmp/saccade-fuzz-XXXXXX";
static const char *const inside[] = {"folder/data", "folder", "data", "link", "up", "fifo"};

static void directory_remove(void) {
        for (size_t i = 0; i < ARRAY_SIZE(inside); i++) {
                char path[128];

                snprintf(path, sizeof(path), "%s/%s", directory, inside[i]);
                remove(path);
        }
        rmdir(directory);
}

static void file_write(int at, const char *name) {
        static const char bytes[4096] = {1, 2, 3, 4};
        _cleanup_(closep) int fd = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
                abort();
}

static const char *directory_of_data(void) {
        static bool made;
        int at;

        if (made)
                return directory;
        made = true;
        if (!mkdtemp(directory))
                abort();
        atexit(directory_remove);
        at = open(directory, O_DIRECTORY | O_CLOEXEC);
        if (at < 0 || mkdirat(at, "folder", 0700) < 0 || symlinkat("data", at, "link") < 0 ||
            symlinkat("..", at, "up") < 0 || mkfifoat(at, "fifo", 0600) < 0)
                abort();
        file_write(at, "data");
        file_write(at, "folder/data");
        close(at);
        return directory;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        if (memmem(bytes, size, "location", strlen("location"))) {
                _cleanup_(source_unrefp) struct source *source = NULL;
                _cleanup_(graph_freep) struct graph *graph = NULL;
                struct error error;

                if (source_borrow(&source, bytes, size, &error) == 0)
                        onnx_read(&graph, source, directory_of_data(), &error);
        }
        exercise_model(bytes, size);
        return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max_size, unsigned seed) {
        size_t changed = seed % 16 == 0 ? 0 : mutator_change(bytes, size, max_size, seed);

        return changed > 0 ? changed : LLVMFuzzerMutate(bytes, size, max_size);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *ret_bytes, size_t max_size, unsigned seed) {
        return mutator_cross(a, a_size, b, b_size, ret_bytes, max_size, seed);
}
