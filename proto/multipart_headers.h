#pragma once
/* multipart_headers: the header lines of one part of a form. Inside of proto/ only. */
#include <stddef.h>

#include "base/error.h"

/* Owned strings, decoded; NULL where the part does not give them. */
struct multipart_headers {
        char *name, *filename;
};

/* bytes: the lines without the empty one that ends them, at most MULTIPART_MAX_HEADER_BYTES. Release with
 * multipart_headers_release(). Fails with ERROR_INVALID, ERROR_UNSUPPORTED, ERROR_NO_MEMORY. */
int multipart_headers_parse(struct multipart_headers *ret_headers, const char *bytes, size_t size,
                            struct error *error);
void multipart_headers_release(struct multipart_headers *headers);
