#include "engine/pages.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define CHUNK_BYTES     ((size_t)32 << 20) /* of addresses: only what is touched takes memory */

struct chunk {
        struct chunk *next;
        unsigned char *bytes;
        size_t size, used;
        size_t n_pieces; /* that live */
};

struct slab {
        pthread_mutex_t lock;
        struct chunk *chunks; /* the first one is filled */
        size_t page_bytes;
};

static size_t round_up(size_t bytes, size_t unit) {
        return (bytes + unit - 1) & ~(unit - 1);
}

/* Whole pages; false: that is no size. */
static bool mapped_size(size_t *ret_bytes, size_t bytes) {
        size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

        if (!size_add(&bytes, MAX(bytes, 1u), HUGE_PAGE_BYTES + page_bytes))
                return false;
        *ret_bytes = round_up(bytes - HUGE_PAGE_BYTES - page_bytes, page_bytes);
        return true;
}

void *pages_map(size_t bytes) {
        size_t size, extra, before;
        unsigned char *address;

        if (!mapped_size(&size, bytes))
                return NULL;
        /* A huge page must begin at its own multiple: what is too much is cut off at both ends. */
        extra = size >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 0;
        address = mmap(NULL, size + extra, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (address == MAP_FAILED)
                return NULL;
        if (extra == 0)
                return address;
        before = -(uintptr_t)address % HUGE_PAGE_BYTES;
        if (before > 0)
                munmap(address, before);
        if (extra > before)
                munmap(address + before + size, extra - before);
        /* It may fail where the kernel has no huge pages, and nothing is lost then. */
        (void)madvise(address + before, size, MADV_HUGEPAGE);
        return address + before;
}

void pages_unmap(void *address, size_t bytes) {
        size_t size;

        if (address && mapped_size(&size, bytes))
                munmap(address, size);
}

struct slab *slab_new(void) {
        struct slab *slab = calloc(1, sizeof(*slab));

        if (!slab)
                return NULL;
        pthread_mutex_init(&slab->lock, NULL);
        slab->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
        return slab;
}

void slab_free(struct slab *slab) {
        pthread_mutex_destroy(&slab->lock);
        free(slab);
}

static struct chunk *chunk_new(size_t bytes) {
        struct chunk *chunk = calloc(1, sizeof(*chunk));

        if (!chunk)
                return NULL;
        chunk->size = bytes;
        chunk->bytes = pages_map(bytes);
        if (!chunk->bytes) {
                free(chunk);
                return NULL;
        }
        return chunk;
}

static void *allocate_locked(struct slab *slab, size_t bytes) {
        struct chunk *chunk = slab->chunks;

        if (bytes > CHUNK_BYTES / 2) {
                /* One of its own, behind the one that is being filled. */
                chunk = chunk_new(bytes);
                if (!chunk)
                        return NULL;
                chunk->next = slab->chunks ? slab->chunks->next : NULL;
                *(slab->chunks ? &slab->chunks->next : &slab->chunks) = chunk;
        } else if (!chunk || chunk->size - chunk->used < bytes) {
                chunk = chunk_new(CHUNK_BYTES);
                if (!chunk)
                        return NULL;
                chunk->next = slab->chunks;
                slab->chunks = chunk;
        }
        chunk->used += bytes;
        chunk->n_pieces++;
        return chunk->bytes + chunk->used - bytes;
}

void *slab_allocate(struct slab *slab, size_t bytes) {
        void *piece;

        if (!size_add(&bytes, MAX(bytes, 1u), SLAB_ALIGNMENT - 1))
                return NULL;
        pthread_mutex_lock(&slab->lock);
        piece = allocate_locked(slab, bytes & ~(size_t)(SLAB_ALIGNMENT - 1));
        pthread_mutex_unlock(&slab->lock);
        return piece;
}

static void release_locked(struct slab *slab, unsigned char *piece, size_t bytes) {
        struct chunk **link = &slab->chunks, *chunk;
        uintptr_t begin, end;

        while (piece < (*link)->bytes || piece >= (*link)->bytes + (*link)->size)
                link = &(*link)->next;
        chunk = *link;
        if (--chunk->n_pieces == 0) {
                *link = chunk->next;
                pages_unmap(chunk->bytes, chunk->size);
                free(chunk);
                return;
        }
        /* The pages that are the piece's alone. */
        begin = round_up((uintptr_t)piece, slab->page_bytes);
        end = ((uintptr_t)piece + bytes) & ~(uintptr_t)(slab->page_bytes - 1);
        if (begin < end)
                (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void slab_release(struct slab *slab, void *piece, size_t bytes) {
        if (!piece)
                return;
        pthread_mutex_lock(&slab->lock);
        release_locked(slab, piece, bytes);
        pthread_mutex_unlock(&slab->lock);
}
