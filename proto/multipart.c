#include "proto/multipart.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/multipart_headers.h"
#include "proto/parameter.h"
#include "proto/utf8.h"

#define SHOWN_BYTES 64u /* of what a client sent, in an error text */

struct part {
        struct multipart_part view;
        struct multipart_headers headers;
};

struct multipart {
        size_t n_parts;
        struct part parts[MULTIPART_MAX_PARTS];
};

/* CR LF "--" boundary. At the start of a body the line end is missing. */
struct delimiter {
        char text[4 + MULTIPART_MAX_BOUNDARY_BYTES + 1];
        size_t size;
};

#define LINE_END_BYTES 2u

struct body {
        const char *bytes;
        size_t size;
};

/* RFC 2046, section 5.1.1: bchars. */
static bool is_boundary_char(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (c && strchr("'()+_,-./:=? ", c));
}

static int set_boundary(struct delimiter *delimiter, const struct parameter *parameter,
                        struct error *error) {
        char *boundary = delimiter->text + 4;
        size_t n;

        if (parameter->value_size == 0)
                return error_set(error, ERROR_INVALID, "the boundary is empty; give 1 to %u characters",
                                 MULTIPART_MAX_BOUNDARY_BYTES);
        if (parameter->value_size > MULTIPART_MAX_BOUNDARY_BYTES)
                return error_set(error, ERROR_INVALID,
                                 "the boundary has %zu characters; RFC 2046 allows 1 to %u",
                                 parameter->value_size, MULTIPART_MAX_BOUNDARY_BYTES);
        n = parameter_value(boundary, parameter);
        for (size_t i = 0; i < n; i++)
                if (!is_boundary_char(boundary[i]))
                        return error_set(error, ERROR_INVALID,
                                         "the boundary has the byte 0x%02x; use letters, digits and '-'",
                                         (unsigned char)boundary[i]);
        if (boundary[n - 1] == ' ')
                return error_set(error, ERROR_INVALID,
                                 "the boundary ends in a blank, which RFC 2046 forbids; remove it");
        memcpy(delimiter->text, "\r\n--", 4);
        delimiter->size = 4 + n;
        return 0;
}

static int parse_content_type(struct delimiter *ret_delimiter, const char *content_type,
                              struct error *error) {
        static const char expected[] = "multipart/form-data";
        struct delimiter delimiter = {0};
        struct parameter parameter;
        size_t type_size;
        int r;

        content_type += strspn(content_type, " \t");
        type_size = parameter_type_size(content_type);
        if (type_size != strlen(expected) || strncasecmp(content_type, expected, type_size) != 0)
                return error_set(error, ERROR_INVALID, "'%.*s' is not %s",
                                 (int)utf8_prefix(content_type, type_size, SHOWN_BYTES), content_type,
                                 expected);
        content_type += type_size;
        while ((r = parameter_next(&parameter, &content_type, error)) > 0) {
                if (!parameter_is(&parameter, "boundary"))
                        continue;
                if (delimiter.size > 0)
                        return error_set(error, ERROR_INVALID, "there are two boundaries; give one");
                r = set_boundary(&delimiter, &parameter, error);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (delimiter.size == 0)
                return error_set(
                        error, ERROR_INVALID,
                        "there is no boundary; let the HTTP client set this header itself, it knows "
                        "the boundary");
        *ret_delimiter = delimiter;
        return 0;
}

int multipart_check_content_type(const char *content_type, struct error *error) {
        struct delimiter delimiter;
        int r;

        r = parse_content_type(&delimiter, content_type ? content_type : "", error);
        return r < 0 ? error_prefix(error, r, "Content-Type") : 0;
}

static bool has_at(const struct body *body, size_t at, const char *text) {
        size_t size = strlen(text);

        return body->size - at >= size && memcmp(body->bytes + at, text, size) == 0;
}

/* Where a delimiter stands, and what it begins. */
struct mark {
        enum { MARK_NONE, MARK_PART, MARK_END } kind;
        size_t start;    /* of the delimiter, line end included */
        size_t line_end; /* MARK_PART: the CR LF that ends the delimiter's line */
};

/* What follows a delimiter tells what it is; MARK_NONE: a longer line that only begins like one. */
static struct mark mark_at(const struct body *body, size_t start, size_t after) {
        bool last = has_at(body, after, "--");
        size_t at = last ? after + 2 : after;

        while (at < body->size && (body->bytes[at] == ' ' || body->bytes[at] == '\t'))
                at++;
        if (last && (at == body->size || has_at(body, at, "\r\n") || has_at(body, at, "\n")))
                return (struct mark){.kind = MARK_END, .start = start};
        if (has_at(body, at, "\r\n"))
                return (struct mark){.kind = MARK_PART, .start = start, .line_end = at};
        return (struct mark){.kind = MARK_NONE};
}

static struct mark mark_find(const struct body *body, const struct delimiter *delimiter, size_t from) {
        while (from < body->size) {
                const char *hit =
                        memmem(body->bytes + from, body->size - from, delimiter->text, delimiter->size);
                struct mark mark;
                size_t start;

                if (!hit)
                        break;
                start = (size_t)(hit - body->bytes);
                mark = mark_at(body, start, start + delimiter->size);
                if (mark.kind != MARK_NONE)
                        return mark;
                from = start + delimiter->size;
        }
        return (struct mark){.kind = MARK_NONE};
}

static struct mark mark_first(const struct body *body, const struct delimiter *delimiter) {
        const char *line = delimiter->text + LINE_END_BYTES;

        if (has_at(body, 0, line)) {
                struct mark mark = mark_at(body, 0, strlen(line));

                if (mark.kind != MARK_NONE)
                        return mark;
        }
        return mark_find(body, delimiter, 0);
}

/* Why there is no further delimiter. */
static int missing_delimiter(const struct body *body, const struct delimiter *delimiter, size_t from,
                             size_t n_parts, struct error *error) {
        const char *line = delimiter->text + LINE_END_BYTES;
        const char *hit = memmem(body->bytes + from, body->size - from, line, strlen(line));

        if (body->size == 0)
                return error_set(error, ERROR_INVALID, "the body is empty; send at least one file part");
        if (hit && has_at(body, (size_t)(hit - body->bytes) + strlen(line), "\n"))
                return error_set(
                        error, ERROR_INVALID,
                        "the line '%s' ends in LF alone; end the lines of boundaries and headers in "
                        "CR LF",
                        line);
        if (n_parts == 0)
                return error_set(
                        error, ERROR_INVALID,
                        "the body has no line '%s', the boundary that the Content-Type header names; "
                        "let the HTTP client set that header itself",
                        line);
        return error_set(error, ERROR_INVALID,
                         "the body does not end with a line '%s--' after part %zu; it was cut off, or the "
                         "closing boundary was forgotten",
                         line, n_parts);
}

/* bytes: from the first header to the next delimiter. */
static int parse_part(struct part *part, const char *bytes, size_t size, struct error *error) {
        const char *blank_line = NULL;
        size_t headers_size = size, content = size, window;
        int r;

        if (size >= 2 && memcmp(bytes, "\r\n", 2) == 0) {
                headers_size = 0;
                content = 2;
        } else {
                window = MIN(size, MULTIPART_MAX_HEADER_BYTES + 4u);
                blank_line = memmem(bytes, window, "\r\n\r\n", 4);
                if (blank_line) {
                        headers_size = (size_t)(blank_line - bytes);
                        content = headers_size + 4;
                }
        }
        if (headers_size > MULTIPART_MAX_HEADER_BYTES)
                return error_set(error, ERROR_LIMIT,
                                 "no empty line ends its headers within the limit of %u bytes",
                                 MULTIPART_MAX_HEADER_BYTES);
        r = multipart_headers_parse(&part->headers, bytes, headers_size, error);
        if (r < 0)
                return r;

        part->view = (struct multipart_part){
                .name = part->headers.name ? part->headers.name : "",
                .filename = part->headers.filename,
                .bytes = (const unsigned char *)bytes + content,
                .size = size - content,
        };
        return 0;
}

int multipart_parse(struct multipart **ret_multipart, const char *content_type, const void *bytes,
                    size_t size, struct error *error) {
        _cleanup_(multipart_freep) struct multipart *multipart = NULL;
        const struct body body = {.bytes = size > 0 ? bytes : "", .size = size};
        struct delimiter delimiter;
        struct mark mark;
        int r;

        r = parse_content_type(&delimiter, content_type ? content_type : "", error);
        if (r < 0)
                return error_prefix(error, r, "Content-Type");
        multipart = calloc(1, sizeof(*multipart));
        if (!multipart)
                return error_no_memory(error);

        mark = mark_first(&body, &delimiter);
        if (mark.kind == MARK_NONE)
                return missing_delimiter(&body, &delimiter, 0, 0, error);
        while (mark.kind == MARK_PART) {
                size_t start = mark.line_end + LINE_END_BYTES, n = multipart->n_parts + 1;
                struct mark next;

                if (n > MULTIPART_MAX_PARTS)
                        return error_set(
                                error, ERROR_LIMIT,
                                "the body has more than %u parts; spread them over several requests",
                                MULTIPART_MAX_PARTS);
                /* The line end belongs to both lines where they meet. */
                next = mark_find(&body, &delimiter, mark.line_end);
                if (next.kind == MARK_NONE)
                        return missing_delimiter(&body, &delimiter, start, n, error);
                r = parse_part(&multipart->parts[n - 1], body.bytes + start,
                               next.start > start ? next.start - start : 0, error);
                if (r < 0)
                        return error_prefix(error, r, "part %zu", n);
                multipart->n_parts = n;
                mark = next;
        }

        *ret_multipart = steal_ptr(&multipart);
        return 0;
}

void multipart_free(struct multipart *multipart) {
        for (size_t i = 0; i < multipart->n_parts; i++)
                multipart_headers_release(&multipart->parts[i].headers);
        free(multipart);
}

size_t multipart_n_parts(const struct multipart *multipart) {
        return multipart->n_parts;
}

const struct multipart_part *multipart_part(const struct multipart *multipart, size_t index) {
        return &multipart->parts[index].view;
}
