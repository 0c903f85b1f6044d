#pragma once
/* buffer: memory that is kept from one image to the next, within a bound. One thread at a time. */
#include <stddef.h>

#include "base/error.h"

struct buffer {
        void *bytes;
        size_t size; /* bytes */
};

/* Makes room for size bytes; what was in it is lost where it has to grow. New memory is zeroed, so that
 * vector loads past the end of a row read something defined. Fails with ERROR_NO_MEMORY. */
int buffer_reserve(struct buffer *buffer, size_t size, struct error *error);

/* Gives the memory back where it is more than max_bytes. */
void buffer_trim(struct buffer *buffer, size_t max_bytes);

void buffer_release(struct buffer *buffer);
