#pragma once
/*
 * blob: the bytes of a file, or bytes that live elsewhere, read only.
 *
 * A blob that was read owns its bytes; a borrowed one owns nothing. Immutable, so threads may share it.
 * Files are read, not mapped: a mapped file that somebody shortens kills the process (SIGBUS).
 */
#include <stddef.h>

#include "base/error.h"

struct blob {
        const unsigned char *bytes;
        size_t size; /* bytes */
        void *owned; /* what blob_release() frees, or NULL */
};

#define BLOB_NONE ((struct blob){0})

/* Reads a whole regular file. Fails with ERROR_NOT_FOUND, ERROR_IO, ERROR_LIMIT (larger than max_bytes). */
int blob_read(struct blob *ret_blob, const char *path, size_t max_bytes, struct error *error);

/* Refers to bytes that outlive the blob. */
struct blob blob_borrow(const void *bytes, size_t size);

void blob_release(struct blob *blob);
