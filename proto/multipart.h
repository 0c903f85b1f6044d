#pragma once
/*
 * multipart: a complete multipart/form-data body (RFC 7578, RFC 2046 section 5.1) taken apart in place.
 *
 * Input is hostile: parts, header lines and their length are bounded. Parts point into the body, which must
 * outlive them.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

#define MULTIPART_MAX_PARTS        256u
#define MULTIPART_MAX_HEADER_BYTES 4096u /* of one part */

struct multipart_part {
        const char *name;     /* form field, "" where missing */
        const char *filename; /* NULL: not a file part */
        const unsigned char *bytes;
        size_t size;
};

struct multipart;

/* content_type: the whole header value, with the boundary. Fails with ERROR_INVALID (the text says what is
 * wrong: no boundary, no closing boundary, a part without Content-Disposition, ...), ERROR_LIMIT,
 * ERROR_NO_MEMORY. */
int multipart_parse(struct multipart **ret_multipart, const char *content_type, const void *body,
                    size_t size, struct error *error);
void multipart_free(struct multipart *multipart);
DEFINE_CLEANUP(multipart)

size_t multipart_n_parts(const struct multipart *multipart);
const struct multipart_part *multipart_part(const struct multipart *multipart, size_t index);
