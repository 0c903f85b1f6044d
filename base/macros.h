#pragma once
/* macros: cleanup by scope, ownership transfer, checked size arithmetic. No state, no allocation. */
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _unused_            __attribute__((unused))

#define ARRAY_SIZE(array)   (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)           ((a) < (b) ? (a) : (b))
#define MAX(a, b)           ((a) > (b) ? (a) : (b))

/* Takes the pointer out of *p, so that its cleanup does nothing: *ret = steal_ptr(&p). */
#define steal_ptr(p)                                                                                        \
        ({                                                                                                  \
                __typeof__(*(p)) _stolen = *(p);                                                            \
                *(p) = NULL;                                                                                \
                _stolen;                                                                                    \
        })

/* Defines name##_freep(), the cleanup function for a variable of type struct name *, from name##_free(). */
#define DEFINE_CLEANUP(name)                                                                                \
        _unused_ static inline void name##_freep(struct name **p) {                                         \
                if (*p)                                                                                     \
                        name##_free(*p);                                                                    \
        }

static inline void freep(void *p) {
        free(*(void **)p);
}

_unused_ static inline void closep(int *fd) {
        if (*fd >= 0)
                close(*fd);
}

/* *ret = a * b or a + b; false (and *ret untouched) where that does not fit. */
static inline bool size_multiply(size_t *ret, size_t a, size_t b) {
        size_t product;

        if (__builtin_mul_overflow(a, b, &product))
                return false;
        *ret = product;
        return true;
}

static inline bool size_add(size_t *ret, size_t a, size_t b) {
        size_t sum;

        if (__builtin_add_overflow(a, b, &sum))
                return false;
        *ret = sum;
        return true;
}
