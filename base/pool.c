#include "base/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_CHUNK_BYTES ((size_t)16 << 10)
#define POOL_ALIGNMENT   (_Alignof(max_align_t))

struct chunk {
        struct chunk *next;
        size_t used, capacity; /* bytes */
        _Alignas(max_align_t) unsigned char bytes[];
};

struct pool {
        struct chunk *chunks; /* the first one is filled */
};

struct pool *pool_new(void) {
        return calloc(1, sizeof(struct pool));
}

void pool_free(struct pool *pool) {
        while (pool->chunks) {
                struct chunk *next = pool->chunks->next;

                free(pool->chunks);
                pool->chunks = next;
        }
        free(pool);
}

void *pool_allocate(struct pool *pool, size_t n, size_t size) {
        struct chunk *chunk = pool->chunks;
        size_t bytes;

        if (!size_multiply(&bytes, n, size) || !size_add(&bytes, bytes, POOL_ALIGNMENT - 1))
                return NULL;
        bytes &= ~(POOL_ALIGNMENT - 1);

        if (!chunk || chunk->capacity - chunk->used < bytes) {
                size_t capacity = MAX(bytes, POOL_CHUNK_BYTES), total;

                if (!size_add(&total, capacity, sizeof(*chunk)))
                        return NULL;
                chunk = calloc(1, total);
                if (!chunk)
                        return NULL;
                chunk->capacity = capacity;
                chunk->next = pool->chunks;
                pool->chunks = chunk;
        }

        chunk->used += bytes;
        return chunk->bytes + chunk->used - bytes;
}

void *pool_copy(struct pool *pool, const void *elements, size_t n, size_t size) {
        void *copy = pool_allocate(pool, n, size);

        if (copy && n > 0)
                memcpy(copy, elements, n * size);
        return copy;
}

char *pool_string(struct pool *pool, const char *text) {
        return pool_copy(pool, text, strlen(text) + 1, 1);
}

char *pool_printf(struct pool *pool, const char *format, ...) {
        va_list args, again;
        char *text;
        int n;

        va_start(args, format);
        va_copy(again, args);
        n = vsnprintf(NULL, 0, format, args);
        va_end(args);
        text = n < 0 ? NULL : pool_allocate(pool, (size_t)n + 1, 1);
        if (text)
                vsnprintf(text, (size_t)n + 1, format, again);
        va_end(again);
        return text;
}
