#pragma once
/*
 * multipart: a complete multipart/form-data body (RFC 7578, RFC 2046 section 5.1) taken apart in place.
 *
 * Input is hostile: parts, header lines and their length are bounded, and time is linear in the body. Parts
 * point into the body, which must outlive them.
 *
 * As clients really write it: a body may have a preamble and an epilogue, a boundary may be quoted, blanks
 * may follow it; \" and %22 in a name are a double quote, %0D and %0A the line end that the HTML standard
 * encodes so. A part that is multipart itself, or that has a transfer encoding, is refused with a text that
 * says how to send it instead: RFC 7578 has deprecated both.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

#define MULTIPART_MAX_PARTS          256u
#define MULTIPART_MAX_HEADER_BYTES   4096u /* of one part */
#define MULTIPART_MAX_BOUNDARY_BYTES 70u   /* RFC 2046, section 5.1.1 */

struct multipart_part {
        const char *name; /* form field, "" where missing */
        /* NULL: not a file part. "" with size 0 is what a browser sends for a file field that nobody filled.
         * Bytes as they came, UTF-8 or not, but no NUL. filename* counts where filename is missing. */
        const char *filename;
        const unsigned char *bytes;
        size_t size;
};

struct multipart;

/* What can be told at the headers, before the body: that the content type is multipart/form-data with one
 * usable boundary. Fails with ERROR_INVALID. */
int multipart_check_content_type(const char *content_type, struct error *error);

/* content_type: the whole header value, with the boundary. Fails with ERROR_INVALID (the text says what is
 * wrong: no boundary, no closing boundary, a part without Content-Disposition, ...), ERROR_UNSUPPORTED
 * (nested multipart, transfer encoding), ERROR_LIMIT, ERROR_NO_MEMORY. A body with the closing boundary only
 * has no parts. */
int multipart_parse(struct multipart **ret_multipart, const char *content_type, const void *body,
                    size_t size, struct error *error);
void multipart_free(struct multipart *multipart);
DEFINE_CLEANUP(multipart)

/* Parts in the order of the body; index < multipart_n_parts(). */
size_t multipart_n_parts(const struct multipart *multipart);
const struct multipart_part *multipart_part(const struct multipart *multipart, size_t index);
