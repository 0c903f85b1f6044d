#include "base/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"

int blob_read(struct blob *ret_blob, const char *path, size_t max_bytes, struct error *error) {
        _cleanup_(freep) unsigned char *bytes = NULL;
        _cleanup_(closep) int fd = -1;
        struct stat st;
        size_t size = 0;

        /* O_NONBLOCK: a FIFO in place of the file must not hang the caller. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return error_set(error, errno == ENOENT || errno == ENOTDIR ? ERROR_NOT_FOUND : ERROR_IO,
                                 "%s: %s", path, strerror(errno));
        if (fstat(fd, &st) < 0)
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return error_set(error, ERROR_INVALID, "%s: not a regular file", path);
        if ((uintmax_t)st.st_size > max_bytes)
                return error_set(error, ERROR_LIMIT, "%s: %jd bytes, the limit is %zu", path,
                                 (intmax_t)st.st_size, max_bytes);

        bytes = malloc((size_t)st.st_size + 1);
        if (!bytes)
                return error_no_memory(error);
        while (size < (size_t)st.st_size) {
                ssize_t n = read(fd, bytes + size, (size_t)st.st_size - size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
                if (n == 0)
                        break;
                size += (size_t)n;
        }
        bytes[size] = 0;

        *ret_blob = (struct blob){.bytes = bytes, .size = size, .owned = bytes};
        steal_ptr(&bytes);
        return 0;
}

struct blob blob_borrow(const void *bytes, size_t size) {
        return (struct blob){.bytes = bytes, .size = size};
}

void blob_release(struct blob *blob) {
        free(blob->owned);
        *blob = BLOB_NONE;
}
