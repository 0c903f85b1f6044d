#include "engine/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct source {
        unsigned refs;
        size_t size;
        const unsigned char *bytes; /* NULL: a file */

        int fd;
        char *path;               /* for messages */
        struct timespec modified; /* when it was opened */
};

static void source_free(struct source *source) {
        if (source->fd >= 0)
                close(source->fd);
        free(source->path);
        free(source);
}
DEFINE_CLEANUP(source)

static int source_new(struct source **ret_source, struct error *error) {
        struct source *source = calloc(1, sizeof(*source));

        if (!source)
                return error_no_memory(error);
        source->refs = 1;
        source->fd = -1;
        *ret_source = source;
        return 0;
}

int source_open(struct source **ret_source, const char *path, size_t max_bytes, bool follow,
                struct error *error) {
        _cleanup_(source_freep) struct source *source = NULL;
        struct stat st;
        int r;

        r = source_new(&source, error);
        if (r < 0)
                return r;
        source->path = strdup(path);
        if (!source->path)
                return error_no_memory(error);
        /* O_NONBLOCK: a FIFO in place of the file must not hang the caller. */
        source->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
        if (source->fd < 0)
                return error_set(error, errno == ENOENT || errno == ENOTDIR ? ERROR_NOT_FOUND : ERROR_IO,
                                 "%s: %s", path, strerror(errno));
        if (fstat(source->fd, &st) < 0)
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return error_set(error, ERROR_INVALID, "%s: not a regular file", path);
        if ((uintmax_t)st.st_size > max_bytes)
                return error_set(error, ERROR_LIMIT, "%s: %jd bytes, the limit is %zu", path,
                                 (intmax_t)st.st_size, max_bytes);
        source->size = (size_t)st.st_size;
        source->modified = st.st_mtim;
        *ret_source = steal_ptr(&source);
        return 0;
}

int source_borrow(struct source **ret_source, const void *bytes, size_t size, struct error *error) {
        struct source *source;
        int r;

        r = source_new(&source, error);
        if (r < 0)
                return r;
        source->bytes = bytes;
        source->size = size;
        *ret_source = source;
        return 0;
}

struct source *source_ref(struct source *source) {
        __atomic_fetch_add(&source->refs, 1, __ATOMIC_RELAXED);
        return source;
}

void source_unref(struct source *source) {
        if (__atomic_sub_fetch(&source->refs, 1, __ATOMIC_ACQ_REL) == 0)
                source_free(source);
}

size_t source_size(const struct source *source) {
        return source->size;
}

static int changed(const struct source *source, struct error *error) {
        return error_set(error, ERROR_IO, "%s: the file has changed since it was opened", source->path);
}

/* After the bytes were read: a change before that shows as well. */
static int source_check(const struct source *source, struct error *error) {
        struct stat st;

        if (fstat(source->fd, &st) < 0)
                return error_set(error, ERROR_IO, "%s: %s", source->path, strerror(errno));
        if ((uintmax_t)st.st_size != source->size || st.st_mtim.tv_sec != source->modified.tv_sec ||
            st.st_mtim.tv_nsec != source->modified.tv_nsec)
                return changed(source, error);
        return 0;
}

int source_read(const struct source *source, uint64_t offset, void *target, size_t bytes,
                struct error *error) {
        size_t done = 0;

        if (offset > source->size || bytes > source->size - offset)
                return error_set(error, ERROR_INTERNAL, "%zu bytes from %ju on of %zu", bytes,
                                 (uintmax_t)offset, source->size);
        if (source->fd < 0) {
                if (bytes > 0)
                        memcpy(target, source->bytes + offset, bytes);
                return 0;
        }
        while (done < bytes) {
                ssize_t n = pread(source->fd, (unsigned char *)target + done, bytes - done,
                                  (off_t)(offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set(error, ERROR_IO, "%s: %s", source->path, strerror(errno));
                if (n == 0)
                        return changed(source, error);
                done += (size_t)n;
        }
        return source_check(source, error);
}
