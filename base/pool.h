#pragma once
/*
 * pool: memory that is given back all at once.
 *
 * What is allocated from a pool lives until pool_free(). Memory is zeroed. Not thread safe.
 */
#include <stddef.h>

#include "base/macros.h"

struct pool;

struct pool *pool_new(void); /* NULL: out of memory */
void pool_free(struct pool *pool);
DEFINE_CLEANUP(pool)

/* n elements of size bytes, aligned for any type; NULL where that overflows or memory is out. n may be 0. */
void *pool_allocate(struct pool *pool, size_t n, size_t size);

/* Copy of n elements; NULL as above. */
void *pool_copy(struct pool *pool, const void *elements, size_t n, size_t size);

char *pool_string(struct pool *pool, const char *text);
char *pool_printf(struct pool *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));
