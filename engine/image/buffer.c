#include "engine/image/buffer.h"

#include <stdlib.h>

int buffer_reserve(struct buffer *buffer, size_t size, struct error *error) {
        if (size <= buffer->size)
                return 0;

        buffer_release(buffer);
        buffer->bytes = calloc(1, size);
        if (!buffer->bytes)
                return error_no_memory(error);
        buffer->size = size;
        return 0;
}

void buffer_trim(struct buffer *buffer, size_t max_bytes) {
        if (buffer->size > max_bytes)
                buffer_release(buffer);
}

void buffer_release(struct buffer *buffer) {
        free(buffer->bytes);
        *buffer = (struct buffer){0};
}
