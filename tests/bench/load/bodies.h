#pragma once
/*
 * bodies: the image files of a folder in order of their names, in memory. Immutable once loaded.
 */
#include <stddef.h>

#include "base/blob.h"
#include "base/error.h"

struct body {
        char *name;
        const char *type; /* of its content */
        struct blob blob;
};

struct bodies {
        struct body *bodies;
        size_t n;
};

/* Fails with ERROR_NOT_FOUND where there is no JPEG, PNG or WebP file by name, ERROR_IO, ERROR_LIMIT. */
int bodies_load(struct bodies *bodies, const char *path, struct error *error);
void bodies_release(struct bodies *bodies);
