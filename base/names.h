#pragma once
/*
 * names: numbers by name, for names that come from outside.
 *
 * Open addressing, at most half full. The hash is keyed with random bytes of the process (SipHash-1-3), so
 * that no file can choose names that collide; libc's hsearch() looks at the first eight bytes only, and
 * exporters begin all names of a layer alike. One thread at a time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

struct names_entry {
        const char *name; /* NULL: free */
        uint64_t hash;
        uint32_t number;
};

struct names {
        struct names_entry *entries;
        size_t n_slots; /* a power of two */
        size_t n, n_max;
};

/* Room for n_max names. Fails with ERROR_NO_MEMORY. */
int names_init(struct names *names, size_t n_max, struct error *error);
void names_release(struct names *names);

/* name is not copied: it must live as long as names. False where there is one like it, or no room. */
bool names_add(struct names *names, const char *name, uint32_t number);

/* False where there is none; *ret_number is then untouched. */
bool names_find(const struct names *names, const char *name, uint32_t *ret_number);
