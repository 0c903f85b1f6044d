#include "engine/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/macros.h"

#define NPY_MAGIC            "\x93NUMPY"
#define NPY_MAX_HEADER_BYTES 65536u /* a shape of 8 dimensions needs some 200 */
#define NPY_ALIGNMENT        64u    /* of the data in a file that is written, as numpy/lib/format does */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the files are little endian and read as they are");

enum npy_type { NPY_F2, NPY_F4, NPY_F8, NPY_I4, NPY_I8, NPY_U1 };

static const struct {
        const char *descr;
        size_t bytes;
} npy_types[] = {
        [NPY_F2] = {"<f2", 2}, [NPY_F4] = {"<f4", 4}, [NPY_F8] = {"<f8", 8},
        [NPY_I4] = {"<i4", 4}, [NPY_I8] = {"<i8", 8}, [NPY_U1] = {"|u1", 1},
};

struct npy_header {
        bool has_descr, has_order, has_shape;
        enum npy_type type;
        bool fortran_order;
        size_t rank;
        size_t dims[NPY_MAX_RANK];
};

/* The header is a Python literal; of Python only what numpy.save() writes is read. */
struct cursor {
        const char *at, *end;
};

static void skip_space(struct cursor *cursor) {
        while (cursor->at < cursor->end &&
               (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\n' || *cursor->at == '\r'))
                cursor->at++;
}

static bool take(struct cursor *cursor, char c) {
        skip_space(cursor);
        if (cursor->at == cursor->end || *cursor->at != c)
                return false;
        cursor->at++;
        return true;
}

static bool take_word(struct cursor *cursor, const char *word) {
        size_t n = strlen(word);

        skip_space(cursor);
        if ((size_t)(cursor->end - cursor->at) < n || memcmp(cursor->at, word, n) != 0)
                return false;
        cursor->at += n;
        return true;
}

static bool take_string(struct cursor *cursor, const char **ret_text, size_t *ret_size) {
        const char *start, *end;
        char quote;

        skip_space(cursor);
        if (cursor->at == cursor->end || (*cursor->at != '\'' && *cursor->at != '"'))
                return false;
        quote = *cursor->at;
        start = cursor->at + 1;
        end = memchr(start, quote, (size_t)(cursor->end - start));
        if (!end || memchr(start, '\\', (size_t)(end - start)))
                return false;
        *ret_text = start;
        *ret_size = (size_t)(end - start);
        cursor->at = end + 1;
        return true;
}

static bool take_size(struct cursor *cursor, size_t *ret_size) {
        size_t size = 0;

        skip_space(cursor);
        if (cursor->at == cursor->end || *cursor->at < '0' || *cursor->at > '9')
                return false;
        for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++)
                if (!size_multiply(&size, size, 10) || !size_add(&size, size, (size_t)(*cursor->at - '0')))
                        return false;
        *ret_size = size;
        return true;
}

static int parse_descr(struct npy_header *header, struct cursor *cursor, struct error *error) {
        const char *text;
        size_t size;

        skip_space(cursor);
        if (cursor->at < cursor->end && *cursor->at == '[')
                return error_set(error, ERROR_UNSUPPORTED,
                                 "npy: a structured array; save one plain array of numbers");
        if (!take_string(cursor, &text, &size))
                return error_set(error, ERROR_INVALID, "npy: the header's 'descr' is no string");
        for (size_t i = 0; i < ARRAY_SIZE(npy_types); i++)
                if (size == strlen(npy_types[i].descr) && memcmp(text, npy_types[i].descr, size) == 0) {
                        header->type = (enum npy_type)i;
                        header->has_descr = true;
                        return 0;
                }
        return error_set(error, ERROR_UNSUPPORTED,
                         "npy: type '%.*s' is not read (only <f4, <f2, <f8, <i4, <i8 and |u1); "
                         "save array.astype('<f4')",
                         (int)MIN(size, (size_t)32), text);
}

static int parse_shape(struct npy_header *header, struct cursor *cursor, struct error *error) {
        size_t rank = 0;

        if (!take(cursor, '('))
                return error_set(error, ERROR_INVALID, "npy: the header's 'shape' is no tuple");
        while (!take(cursor, ')')) {
                if (rank == NPY_MAX_RANK)
                        return error_set(error, ERROR_UNSUPPORTED, "npy: more than %u dimensions",
                                         NPY_MAX_RANK);
                if (!take_size(cursor, &header->dims[rank]))
                        return error_set(error, ERROR_INVALID,
                                         "npy: dimension %zu of the header's 'shape' is no size", rank);
                rank++;
                if (!take(cursor, ',')) {
                        if (!take(cursor, ')'))
                                return error_set(error, ERROR_INVALID,
                                                 "npy: the header's 'shape' is not closed");
                        break;
                }
        }
        header->rank = rank;
        header->has_shape = true;
        return 0;
}

static int parse_order(struct npy_header *header, struct cursor *cursor, struct error *error) {
        if (take_word(cursor, "True"))
                header->fortran_order = true;
        else if (take_word(cursor, "False"))
                header->fortran_order = false;
        else
                return error_set(error, ERROR_INVALID,
                                 "npy: the header's 'fortran_order' is neither True nor False");
        header->has_order = true;
        return 0;
}

static bool key_is(const char *key, size_t size, const char *name) {
        return size == strlen(name) && memcmp(key, name, size) == 0;
}

static int parse_header(struct npy_header *ret_header, const char *text, size_t size, struct error *error) {
        struct cursor cursor = {text, text + size};
        struct npy_header header = {0};
        int r;

        if (!take(&cursor, '{'))
                return error_set(error, ERROR_INVALID, "npy: the header is no dictionary");
        while (!take(&cursor, '}')) {
                const char *key;
                size_t key_size;

                if (!take_string(&cursor, &key, &key_size) || !take(&cursor, ':'))
                        return error_set(error, ERROR_INVALID, "npy: the header's dictionary is malformed");
                if (key_is(key, key_size, "descr") && !header.has_descr)
                        r = parse_descr(&header, &cursor, error);
                else if (key_is(key, key_size, "fortran_order") && !header.has_order)
                        r = parse_order(&header, &cursor, error);
                else if (key_is(key, key_size, "shape") && !header.has_shape)
                        r = parse_shape(&header, &cursor, error);
                else
                        r = error_set(error, ERROR_INVALID,
                                      "npy: unknown or repeated key '%.*s' in the header",
                                      (int)MIN(key_size, (size_t)32), key);
                if (r < 0)
                        return r;
                if (!take(&cursor, ',')) {
                        if (!take(&cursor, '}'))
                                return error_set(error, ERROR_INVALID,
                                                 "npy: the header's dictionary is not closed");
                        break;
                }
        }
        skip_space(&cursor);
        if (cursor.at != cursor.end)
                return error_set(error, ERROR_INVALID, "npy: something follows the header's dictionary");
        if (!header.has_descr || !header.has_order || !header.has_shape)
                return error_set(error, ERROR_INVALID,
                                 "npy: the header lacks 'descr', 'fortran_order' or 'shape'");
        if (header.fortran_order && header.rank > 1)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "npy: the array is in Fortran order; save numpy.ascontiguousarray(array)");
        *ret_header = header;
        return 0;
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
static float half_to_float(uint16_t half) {
        uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 0x1fu;
        uint32_t fraction = half & 0x3ffu, bits;
        float value;

        if (exponent == 0) {
                value = (float)fraction * 0x1p-24f;
                memcpy(&bits, &value, sizeof(bits));
                bits |= sign;
        } else if (exponent == 31)
                bits = sign | 0x7f800000u | fraction << 13;
        else
                bits = sign | (exponent + 112) << 23 | fraction << 13;
        memcpy(&value, &bits, sizeof(value));
        return value;
}

#define CONVERT(c_type, expression)                                                                         \
        for (size_t i = 0; i < n; i++) {                                                                    \
                c_type value;                                                                               \
                memcpy(&value, bytes + i * sizeof(value), sizeof(value));                                   \
                values[i] = (expression);                                                                   \
        }

static void convert(float *values, const unsigned char *bytes, size_t n, enum npy_type type) {
        switch (type) {
        case NPY_F4:
                if (n > 0)
                        memcpy(values, bytes, n * sizeof(float));
                break;
        case NPY_F2:
                CONVERT(uint16_t, half_to_float(value))
                break;
        case NPY_F8:
                CONVERT(double, (float)value)
                break;
        case NPY_I4:
                CONVERT(int32_t, (float)value)
                break;
        case NPY_I8:
                CONVERT(int64_t, (float)value)
                break;
        case NPY_U1:
                for (size_t i = 0; i < n; i++)
                        values[i] = (float)bytes[i];
                break;
        }
}

static int find_header(const unsigned char *bytes, size_t size, size_t *ret_start, size_t *ret_size,
                       struct error *error) {
        size_t start, header_size;

        if (size < 10 || memcmp(bytes, NPY_MAGIC, 6) != 0)
                return error_set(error, ERROR_INVALID,
                                 "npy: not a .npy file (numpy.save() writes one; .npz is another format)");
        if (bytes[6] == 1) {
                start = 10;
                header_size = (size_t)bytes[8] | (size_t)bytes[9] << 8;
        } else if (bytes[6] == 2 || bytes[6] == 3) {
                if (size < 12)
                        return error_set(error, ERROR_INVALID, "npy: the file ends in the header");
                start = 12;
                header_size = (size_t)bytes[8] | (size_t)bytes[9] << 8 | (size_t)bytes[10] << 16 |
                              (size_t)bytes[11] << 24;
        } else
                return error_set(error, ERROR_UNSUPPORTED, "npy: format version %u.%u, only 1 to 3 are read",
                                 bytes[6], bytes[7]);
        if (header_size > NPY_MAX_HEADER_BYTES)
                return error_set(error, ERROR_UNSUPPORTED, "npy: a header of %zu bytes, at most %u are read",
                                 header_size, NPY_MAX_HEADER_BYTES);
        if (header_size > size - start)
                return error_set(error, ERROR_INVALID, "npy: the file ends in the header");
        *ret_start = start;
        *ret_size = header_size;
        return 0;
}

int npy_parse(struct npy *ret_npy, const void *bytes, size_t size, struct error *error) {
        const unsigned char *data = bytes;
        struct npy_header header = {0};
        struct npy npy = {0};
        size_t start = 0, header_size = 0, data_bytes, rest;
        int r;

        r = find_header(data, size, &start, &header_size, error);
        if (r < 0)
                return r;
        r = parse_header(&header, (const char *)data + start, header_size, error);
        if (r < 0)
                return r;

        npy.n_values = 1;
        npy.rank = header.rank;
        for (size_t i = 0; i < header.rank; i++) {
                npy.dims[i] = header.dims[i];
                if (!size_multiply(&npy.n_values, npy.n_values, header.dims[i]))
                        return error_set(error, ERROR_INVALID, "npy: the shape overflows");
        }
        rest = size - start - header_size;
        if (!size_multiply(&data_bytes, npy.n_values, npy_types[header.type].bytes) || data_bytes != rest)
                return error_set(error, ERROR_INVALID,
                                 "npy: %zu values of %zu bytes announced, %zu bytes follow", npy.n_values,
                                 npy_types[header.type].bytes, rest);

        /* No more than four times what is really there: the sizes agree. */
        if (npy.n_values > SIZE_MAX / sizeof(float))
                return error_no_memory(error);
        npy.values = malloc(MAX(npy.n_values * sizeof(float), (size_t)1));
        if (!npy.values)
                return error_no_memory(error);
        convert(npy.values, data + start + header_size, npy.n_values, header.type);
        *ret_npy = npy;
        return 0;
}

void npy_release(struct npy *npy) {
        free(npy->values);
        *npy = (struct npy){0};
}

/* Version 1.0 header, padded with spaces so that the values start aligned. Returns its length. */
static size_t make_header(char *header, size_t size, const size_t *dims, size_t rank) {
        size_t length = 10, padded;

        memcpy(header, NPY_MAGIC "\x01\x00", 8);
        length += (size_t)snprintf(header + length, size - length,
                                   "{'descr': '<f4', 'fortran_order': False, 'shape': (");
        for (size_t i = 0; i < rank; i++)
                length += (size_t)snprintf(header + length, size - length, "%s%zu%s", i > 0 ? " " : "",
                                           dims[i], i + 1 < rank || rank == 1 ? "," : "");
        length += (size_t)snprintf(header + length, size - length, "), }");
        padded = (length + 1 + NPY_ALIGNMENT - 1) / NPY_ALIGNMENT * NPY_ALIGNMENT;
        memset(header + length, ' ', padded - length);
        header[padded - 1] = '\n';
        header[8] = (char)((padded - 10) & 0xff);
        header[9] = (char)((padded - 10) >> 8);
        return padded;
}

/* A new file beside path, to be renamed over it. */
static int open_beside(char *ret_name, size_t size, const char *path) {
        int fd = -1;

        for (unsigned attempt = 0; attempt < 100 && fd < 0; attempt++) {
                if ((size_t)snprintf(ret_name, size, "%s.%ld.%u.tmp", path, (long)getpid(), attempt) >=
                    size) {
                        errno = ENAMETOOLONG;
                        return -1;
                }
                fd = open(ret_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
                if (fd < 0 && errno != EEXIST)
                        break;
        }
        return fd;
}

int npy_write(const char *path, const float *values, const size_t *dims, size_t rank, struct error *error) {
        char name[4096], header[512];
        size_t n_values = 1, value_bytes, header_size;
        bool beside, done;
        struct stat st;
        int fd, saved;

        if (rank > NPY_MAX_RANK)
                return error_set(error, ERROR_INVALID, "npy: %zu dimensions, at most %u", rank,
                                 NPY_MAX_RANK);
        for (size_t i = 0; i < rank; i++)
                if (!size_multiply(&n_values, n_values, dims[i]))
                        return error_set(error, ERROR_INVALID, "npy: the shape overflows");
        if (!size_multiply(&value_bytes, n_values, sizeof(float)))
                return error_set(error, ERROR_INVALID, "npy: the shape overflows");
        header_size = make_header(header, sizeof(header), dims, rank);

        /* A pipe or a device can only be written to, never replaced. */
        beside = stat(path, &st) < 0 || S_ISREG(st.st_mode);
        fd = beside ? open_beside(name, sizeof(name), path) : open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        done = file_write(fd, header, header_size) == 0 && file_write(fd, values, value_bytes) == 0;
        saved = errno;
        if (close(fd) < 0 && done) {
                done = false;
                saved = errno;
        }
        if (done && beside && rename(name, path) < 0) {
                done = false;
                saved = errno;
        }
        if (!done && beside)
                unlink(name);
        return done ? 0 : error_set(error, ERROR_IO, "%s: %s", path, strerror(saved));
}
