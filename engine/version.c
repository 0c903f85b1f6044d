#include "engine/version.h"

#include <nettle/sha2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSION_DIGITS      12u
#define VERSION_PIECE_BYTES ((size_t)256 << 10) /* stays in the second cache */

struct version {
        struct source *source;
        pthread_mutex_t lock;
        atomic_bool known; /* text is complete and does not change any more */
        char text[VERSION_DIGITS + 1];
};

int version_new(struct version **ret_version, struct source *source, struct error *error) {
        struct version *version = calloc(1, sizeof(*version));

        if (!version)
                return error_no_memory(error);
        version->source = source_ref(source);
        pthread_mutex_init(&version->lock, NULL);
        *ret_version = version;
        return 0;
}

void version_free(struct version *version) {
        pthread_mutex_destroy(&version->lock);
        source_unref(version->source);
        free(version);
}

static int hash(char ret_text[VERSION_DIGITS + 1], const struct source *source, struct error *error) {
        _cleanup_(freep) unsigned char *piece = malloc(VERSION_PIECE_BYTES);
        uint8_t digest[SHA256_DIGEST_SIZE];
        struct sha256_ctx context;
        int r;

        if (!piece)
                return error_no_memory(error);
        sha256_init(&context);
        for (size_t done = 0, n; done < source_size(source); done += n) {
                n = MIN(source_size(source) - done, VERSION_PIECE_BYTES);
                r = source_read(source, done, piece, n, error);
                if (r < 0)
                        return r;
                sha256_update(&context, n, piece);
        }
        sha256_digest(&context, sizeof(digest), digest);
        for (size_t i = 0; i < VERSION_DIGITS / 2; i++)
                snprintf(ret_text + 2 * i, 3, "%02x", digest[i]);
        return 0;
}

int version_text(struct version *version, const char **ret_text, struct error *error) {
        int r = 0;

        if (!atomic_load_explicit(&version->known, memory_order_acquire)) {
                pthread_mutex_lock(&version->lock);
                if (!atomic_load_explicit(&version->known, memory_order_relaxed))
                        r = hash(version->text, version->source, error);
                if (r >= 0)
                        atomic_store_explicit(&version->known, true, memory_order_release);
                pthread_mutex_unlock(&version->lock);
        }
        if (r < 0)
                return r;
        *ret_text = version->text;
        return 0;
}
