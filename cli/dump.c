#include "cli/dump.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/terminal.h"
#include "engine/npy.h"

#define SUFFIX         ".npy"
#define MAX_NAME_BYTES 200u /* of a file that is called after its node; file systems take 255 */

static bool ends_in_suffix(const char *text) {
        size_t n = strlen(text), n_suffix = strlen(SUFFIX);

        return n > n_suffix && strcmp(text + n - n_suffix, SUFFIX) == 0;
}

/* No directory, no hidden file, nothing that a shell reads: the node's name is the file's author's. */
static char *path_of_node(const char *node) {
        char name[MAX_NAME_BYTES + 1];
        char *path;
        size_t n = 0;

        for (; *node && n < MAX_NAME_BYTES; node++) {
                bool plain = isalnum((unsigned char)*node) || *node == '-' || *node == '.';

                if (n > 0 || isalnum((unsigned char)*node))
                        name[n++] = plain ? *node : '_';
        }
        name[n] = '\0';
        return asprintf(&path, "%s%s", n > 0 ? name : "node", SUFFIX) < 0 ? NULL : path;
}

static int parse(struct dumps *dumps, const char *text, struct error *error) {
        const char *equals = strrchr(text, '=');
        size_t i = dumps->n;

        if (equals && !ends_in_suffix(equals + 1))
                equals = NULL;
        dumps->nodes[i] = equals ? strndup(text, (size_t)(equals - text)) : strdup(text);
        if (!dumps->nodes[i])
                return error_no_memory(error);
        dumps->n++;
        if (!dumps->nodes[i][0])
                return error_set(error, ERROR_INVALID, "--dump '%s': a node's name is missing", text);
        dumps->paths[i] = equals ? strdup(equals + 1) : path_of_node(text);
        return dumps->paths[i] ? 0 : error_no_memory(error);
}

int dumps_parse(struct dumps *ret_dumps, const struct option_strings *texts, const char *output,
                struct error *error) {
        _cleanup_(dumps_release) struct dumps dumps = {0};
        int r;

        for (size_t i = 0; i < texts->n; i++) {
                r = parse(&dumps, texts->values[i], error);
                if (r < 0)
                        return r;
                for (size_t k = 0; k <= i; k++) {
                        const char *other = k < i ? dumps.paths[k] : output;

                        if (other && strcmp(other, dumps.paths[i]) == 0)
                                return error_set(error, ERROR_INVALID,
                                                 "--dump '%s': %s is written already; name another file: "
                                                 "--dump NODE=FILE.npy",
                                                 texts->values[i], other);
                }
        }
        *ret_dumps = dumps;
        dumps = (struct dumps){0};
        return 0;
}

void dumps_release(struct dumps *dumps) {
        for (size_t i = 0; i < dumps->n; i++) {
                free(dumps->nodes[i]);
                free(dumps->paths[i]);
        }
}

int dumps_write(const struct dumps *dumps, const struct plan *plan, const struct run *run,
                struct error *error) {
        int r;

        for (size_t i = 0; i < dumps->n; i++) {
                size_t dims[8], rank = plan_watched_shape(plan, i, dims);

                r = npy_write(dumps->paths[i], run_watched(run, i), dims, rank, error);
                if (r < 0)
                        return r;
                terminal_print_text(stdout, dumps->paths[i], SIZE_MAX);
                printf(": ");
                terminal_print_text(stdout, dumps->nodes[i], SIZE_MAX);
                printf(" [");
                for (size_t d = 0; d < rank; d++)
                        printf("%s%zu", d > 0 ? ", " : "", dims[d]);
                printf("]\n");
        }
        return 0;
}
