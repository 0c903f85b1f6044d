/* Runs a fuzz target over the files of its corpus, so that every normal test run replays what fuzzing has
 * found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/blob.h"
#include "base/macros.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void closedirp(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

int main(int argc, char **argv) {
        _cleanup_(closedirp) DIR *directory = NULL;
        size_t n_files = 0;
        struct dirent *entry;

        if (argc != 2) {
                fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
                return 2;
        }
        directory = opendir(argv[1]);
        if (!directory) {
                perror(argv[1]);
                return 1;
        }
        while ((entry = readdir(directory))) {
                _cleanup_(blob_release) struct blob blob = BLOB_NONE;
                struct error error;
                char path[4096];

                if (entry->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
                if (blob_read(&blob, path, (size_t)64 << 20, &error) < 0) {
                        fprintf(stderr, "%s\n", error.text);
                        return 1;
                }
                LLVMFuzzerTestOneInput(blob.bytes, blob.size);
                n_files++;
        }
        printf("%zu files replayed\n", n_files);
        return n_files > 0 ? 0 : 1;
}
