#include "tests/bench/load/bodies.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"

#define BODY_MAX_BYTES ((size_t)64 << 20) /* larger is no photograph */

static const struct {
        const char *suffix, *type;
} TYPES[] = {
        {".jpg", "image/jpeg"}, {".jpeg", "image/jpeg"}, {".png", "image/png"}, {".webp", "image/webp"}};

static const char *type_of(const char *name) {
        const char *suffix = strrchr(name, '.');

        for (size_t i = 0; suffix && i < ARRAY_SIZE(TYPES); i++)
                if (strcasecmp(suffix, TYPES[i].suffix) == 0)
                        return TYPES[i].type;
        return NULL;
}

static int is_image(const struct dirent *entry) {
        return type_of(entry->d_name) != NULL;
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_one(struct body *body, const char *folder, const char *name, struct error *error) {
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return error_no_memory(error);
        }
        r = blob_read(&body->blob, path, BODY_MAX_BYTES, error);
        if (r < 0)
                return r;
        body->type = type_of(name);
        body->name = strdup(name);
        return body->name ? 0 : error_no_memory(error);
}

int bodies_load(struct bodies *bodies, const char *path, struct error *error) {
        struct dirent **entries = NULL;
        int n = scandir(path, &entries, is_image, by_bytes), r = 0;

        if (n < 0)
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        if (n == 0)
                r = error_set(error, ERROR_NOT_FOUND, "%s: no file named *.jpg, *.jpeg, *.png or *.webp",
                              path);
        bodies->bodies = calloc((size_t)n + 1, sizeof(*bodies->bodies));
        if (!bodies->bodies)
                r = error_no_memory(error);
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = load_one(&bodies->bodies[bodies->n++], path, entries[i]->d_name, error);
                free(entries[i]);
        }
        free(entries);
        return r;
}

void bodies_release(struct bodies *bodies) {
        for (size_t i = 0; i < bodies->n; i++) {
                free(bodies->bodies[i].name);
                blob_release(&bodies->bodies[i].blob);
        }
        free(bodies->bodies);
        *bodies = (struct bodies){0};
}
