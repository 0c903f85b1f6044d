#include "engine/external_data.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/location.h"
#include "engine/origin.h"

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

void external_data_release(struct external_data *external) {
        for (size_t i = 0; i < external->n_files; i++) {
                source_unref(external->files[i]);
                free(external->locations[i]);
        }
        external->n_files = 0;
}

/* The file, opened now or before; a reference. */
static int file_obtain(struct external_data *external, const char *location, struct source **ret_file,
                       struct error *error) {
        _cleanup_(source_unrefp) struct source *file = NULL;
        char path[PATH_MAX];
        int r;

        for (size_t i = 0; i < external->n_files; i++)
                if (strcmp(external->locations[i], location) == 0) {
                        *ret_file = source_ref(external->files[i]);
                        return 0;
                }
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", external->directory, location) >= sizeof(path))
                return error_set(error, ERROR_LIMIT, "external data: the path is too long");
        r = source_open(&file, path, SIZE_MAX, false, error);
        if (r < 0)
                return error_prefix(error, r, "external data");
        if (external->n_files < EXTERNAL_DATA_MAX_FILES) {
                char *copy = strdup(location);

                if (!copy)
                        return error_no_memory(error);
                external->locations[external->n_files] = copy;
                external->files[external->n_files++] = source_ref(file);
        }
        *ret_file = steal_ptr(&file);
        return 0;
}

int external_data_read(struct tensor **ret_tensor, struct external_data *external, enum dtype dtype,
                       const struct shape *shape, const Onnx__TensorProto *proto, struct error *error) {
        _cleanup_(source_unrefp) struct source *file = NULL;
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        const char *location = entry_find(proto, "location"), *text;
        size_t bytes = shape_elements(shape) * dtype_bytes(dtype);
        uint64_t offset = 0, length = bytes;
        int r;

        if (!location)
                return error_set(error, ERROR_INVALID, "external data without a location");
        if (!location_is_inside(location))
                return error_set(error, ERROR_INVALID, "external data: '%s' leaves the model's directory",
                                 location);
        if (!external->directory)
                return error_set(error, ERROR_INVALID, "external data in a model that has no directory");
        r = folders_check(external->directory, location, error);
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
        r = file_obtain(external, location, &file, error);
        if (r < 0)
                return r;
        if (offset > source_size(file) || bytes > source_size(file) - offset)
                return error_set(error, ERROR_INVALID,
                                 "external data: '%s' ends before offset %ju + %zu bytes", location,
                                 (uintmax_t)offset, bytes);
        r = tensor_from_source(&tensor, dtype, shape, file, offset, error);
        if (r < 0)
                return r;
        if (external->n_files == EXTERNAL_DATA_MAX_FILES)
                return tensor_hold(ret_tensor, tensor, error);
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}
