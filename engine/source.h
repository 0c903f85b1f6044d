#pragma once
/*
 * source: bytes from outside that are read piece by piece, and can be read again: a file, or memory.
 *
 * A file stays open, and is read, not mapped: a mapped file that somebody shortens kills the process
 * (SIGBUS). One that changed since it was opened is an error at the next read; one that was replaced by
 * another of its name goes on being read as it was. References are counted atomically and reading keeps no
 * state, so threads may share a source.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

struct source;

/* A regular file. Fails with ERROR_NOT_FOUND, ERROR_IO, ERROR_INVALID (no regular file), ERROR_LIMIT (larger
 * than max_bytes). A symbolic link at the end of path is followed only where follow says so. */
int source_open(struct source **ret_source, const char *path, size_t max_bytes, bool follow,
                struct error *error);

/* Bytes that outlive the source. */
int source_borrow(struct source **ret_source, const void *bytes, size_t size, struct error *error);

struct source *source_ref(struct source *source);
void source_unref(struct source *source);

_unused_ static inline void source_unrefp(struct source **source) {
        if (*source)
                source_unref(*source);
}

size_t source_size(const struct source *source);

/* Copies bytes bytes from offset on. Fails with ERROR_IO, also where the file is not what was opened. */
int source_read(const struct source *source, uint64_t offset, void *target, size_t bytes,
                struct error *error);
