#pragma once
/*
 * pages: memory straight from the kernel, for what is large and lives long.
 *
 * In huge pages where the kernel has them: 98 MiB of weights are touched for the first time in 14 ms instead
 * of 60 to 100 (docs/performance.md). What is freed goes back to the kernel at once.
 */
#include <stddef.h>

#include "base/macros.h"

/* Zeroed memory of its own, aligned to a page at least; NULL: out of memory. bytes may be 0. */
void *pages_map(size_t bytes);
void pages_unmap(void *address, size_t bytes);

/*
 * A slab has many pieces, packed closely, so that small ones share huge pages too. A freed piece gives its
 * pages back; its addresses are used again only when all pieces around it are gone. Thread safe.
 */
struct slab;

struct slab *slab_new(void); /* NULL: out of memory */

/* All pieces must have been freed. */
void slab_free(struct slab *slab);
DEFINE_CLEANUP(slab)

#define SLAB_ALIGNMENT 64u

/* Zeroed, aligned to SLAB_ALIGNMENT; NULL: out of memory. bytes may be 0. */
void *slab_allocate(struct slab *slab, size_t bytes);
void slab_release(struct slab *slab, void *piece, size_t bytes);
