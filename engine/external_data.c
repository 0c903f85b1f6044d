#include "engine/external_data.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *entry_find(const Onnx__TensorProto *proto, const char *key) {
        for (size_t i = 0; i < proto->n_external_data; i++)
                if (proto->external_data[i]->key && proto->external_data[i]->value &&
                    strcmp(proto->external_data[i]->key, key) == 0)
                        return proto->external_data[i]->value;
        return NULL;
}

static int number_read(uint64_t *ret_number, const char *text, const char *key, struct error *error) {
        unsigned long long number;
        char *end;

        errno = 0;
        number = strtoull(text, &end, 10);
        if (errno != 0 || *end || text[0] < '0' || text[0] > '9')
                return error_set(error, ERROR_INVALID, "external data: %s '%s' is not a number", key, text);
        *ret_number = number;
        return 0;
}

static bool location_is_inside(const char *location) {
        for (const char *p = location; *p;) {
                size_t n = strcspn(p, "/");

                if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                p += n + (p[n] == '/');
        }
        return location[0] != '\0' && strchr(location, '\\') == NULL;
}

/* A link among the folders of location would leave the directory as well as "..". */
static int folders_check(const char *directory, const char *location, struct error *error) {
        for (const char *p = strchr(location, '/'); p; p = strchr(p + 1, '/')) {
                int n = (int)(p - location);
                char path[PATH_MAX];
                struct stat st;

                if ((size_t)snprintf(path, sizeof(path), "%s/%.*s", directory, n, location) >= sizeof(path))
                        return error_set(error, ERROR_LIMIT, "external data: the path is too long");
                if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
                        return error_set(error, ERROR_INVALID, "external data: '%.*s' is no directory", n,
                                         location);
        }
        return 0;
}

int external_data_read(struct tensor **ret_tensor, enum dtype dtype, const struct shape *shape,
                       const Onnx__TensorProto *proto, const char *directory, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        _cleanup_(closep) int fd = -1;
        const char *location = entry_find(proto, "location"), *text;
        size_t bytes = shape_elements(shape) * dtype_bytes(dtype), done = 0;
        uint64_t offset = 0, length = bytes;
        char path[PATH_MAX];
        struct stat st;
        int r;

        if (!location)
                return error_set(error, ERROR_INVALID, "external data without a location");
        if (!location_is_inside(location))
                return error_set(error, ERROR_INVALID, "external data: '%s' leaves the model's directory",
                                 location);
        if (!directory)
                return error_set(error, ERROR_INVALID, "external data in a model that has no directory");
        r = folders_check(directory, location, error);
        if (r < 0)
                return r;
        text = entry_find(proto, "offset");
        if (text) {
                r = number_read(&offset, text, "offset", error);
                if (r < 0)
                        return r;
        }
        text = entry_find(proto, "length");
        if (text) {
                r = number_read(&length, text, "length", error);
                if (r < 0)
                        return r;
        }
        if (length != bytes)
                return error_set(error, ERROR_INVALID,
                                 "external data of %ju bytes, its shape and type need %zu",
                                 (uintmax_t)length, bytes);

        if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, location) >= sizeof(path))
                return error_set(error, ERROR_LIMIT, "external data: the path is too long");
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO,
                                 "external data: %s: %s", path, strerror(errno));
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_set(error, ERROR_INVALID, "external data: %s: not a regular file", path);
        if (offset > (uint64_t)st.st_size || bytes > (uint64_t)st.st_size - offset)
                return error_set(error, ERROR_INVALID,
                                 "external data: %s ends before offset %ju + %zu bytes", path,
                                 (uintmax_t)offset, bytes);

        r = tensor_new(&tensor, dtype, shape, error);
        if (r < 0)
                return r;
        while (done < bytes) {
                ssize_t n = pread(fd, (char *)tensor->data + done, bytes - done, (off_t)(offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_set(error, ERROR_IO, "external data: %s: %s", path,
                                         n < 0 ? strerror(errno) : "ends early");
                done += (size_t)n;
        }
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}
