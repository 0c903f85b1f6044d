#include "base/file.h"

#include <errno.h>
#include <unistd.h>

int file_write(int fd, const void *bytes, size_t size) {
        for (const char *at = bytes; size > 0;) {
                ssize_t n = write(fd, at, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return -1;
                at += n;
                size -= (size_t)n;
        }
        return 0;
}
