#include "proto/multipart_headers.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"
#include "proto/multipart.h"
#include "proto/parameter.h"
#include "proto/percent.h"
#include "proto/utf8.h"

#define SHOWN_BYTES 64u /* of what a client sent, in an error text */

static int shown(const char *text) {
        return (int)utf8_prefix(text, strlen(text), SHOWN_BYTES);
}

/* Lines end in '\n' afterwards, folded ones (RFC 5322, section 2.2.3) are one line, and text ends in zero.
 */
static int unfold(char *text, const char *bytes, size_t size, struct error *error) {
        size_t n = 0;

        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char)bytes[i];

                if (c == '\r' && i + 1 < size && bytes[i + 1] == '\n') {
                        bool folded = i + 2 < size && (bytes[i + 2] == ' ' || bytes[i + 2] == '\t');

                        text[n++] = folded ? ' ' : '\n';
                        i++;
                } else if (c < 0x20 && c != '\t')
                        return error_set(
                                error, ERROR_INVALID,
                                "its headers have the control character 0x%02x; end each line in CR LF "
                                "and the headers with an empty line",
                                c);
                else
                        text[n++] = (char)c;
        }
        text[n] = 0;
        return 0;
}

/* The three bytes that the HTML standard encodes in names ("multipart/form-data encoding algorithm"). It
 * leaves '%' itself alone, so that no other escape may be undone. */
static void undo_form_escapes(char *text) {
        char *to = text;

        for (const char *p = text; *p; p++) {
                int byte = *p == '%' ? percent_byte(p + 1, 2) : -1;

                if (byte == '"' || byte == '\r' || byte == '\n') {
                        *to++ = (char)byte;
                        p += 2;
                } else
                        *to++ = *p;
        }
        *to = 0;
}

static char *plain_value(const struct parameter *parameter) {
        char *text = malloc(parameter->value_size + 1);

        if (text) {
                parameter_value(text, parameter);
                undo_form_escapes(text);
        }
        return text;
}

/* RFC 8187: charset'language'percent-encoded. What is not readable UTF-8 of that kind is a file without a
 * name, because the name is for showing only. */
static char *extended_value(const struct parameter *parameter) {
        static const char charset[] = "utf-8'";
        char *text = malloc(parameter->value_size + 1);
        const char *p;
        size_t n = 0;

        if (!text)
                return NULL;
        parameter_value(text, parameter);
        p = strncasecmp(text, charset, strlen(charset)) == 0 ? strchr(text + strlen(charset), '\'') : NULL;
        for (p = p ? p + 1 : ""; *p; p++) {
                int byte = *p == '%' ? percent_byte(p + 1, 2) : (unsigned char)*p;

                if (byte <= 0) {
                        n = 0;
                        break;
                }
                if (*p == '%')
                        p += 2;
                text[n++] = (char)byte;
        }
        text[utf8_is_valid(text, n) ? n : 0] = 0;
        return text;
}

/* Sets *text once. */
static int keep(char **text, char *value, const char *what, struct error *error) {
        if (!value)
                return error_no_memory(error);
        if (*text) {
                free(value);
                return error_set(error, ERROR_INVALID, "its Content-Disposition gives %s twice", what);
        }
        *text = value;
        return 0;
}

static int parse_disposition_parameters(struct multipart_headers *headers, char **extended,
                                        const char *value, struct error *error) {
        struct parameter parameter;
        int r;

        while ((r = parameter_next(&parameter, &value, error)) > 0) {
                if (parameter_is(&parameter, "name"))
                        r = keep(&headers->name, plain_value(&parameter), "name", error);
                else if (parameter_is(&parameter, "filename"))
                        r = keep(&headers->filename, plain_value(&parameter), "filename", error);
                else if (parameter_is(&parameter, "filename*"))
                        r = keep(extended, extended_value(&parameter), "filename*", error);
                if (r < 0)
                        return r;
        }
        return r < 0 ? error_prefix(error, r, "its Content-Disposition") : 0;
}

static int parse_disposition(struct multipart_headers *headers, const char *value, struct error *error) {
        static const char expected[] = "form-data";
        _cleanup_(freep) char *extended = NULL;
        size_t type_size = parameter_type_size(value);
        int r;

        if (type_size != strlen(expected) || strncasecmp(value, expected, type_size) != 0)
                return error_set(error, ERROR_INVALID,
                                 "its Content-Disposition is '%.*s'; make it form-data",
                                 (int)utf8_prefix(value, type_size, SHOWN_BYTES), value);
        r = parse_disposition_parameters(headers, &extended, value + type_size, error);
        if (r < 0)
                return r;
        if (!headers->filename)
                headers->filename = steal_ptr(&extended);
        return 0;
}

/* RFC 7578, section 4.7: deprecated, but a client library may still do it. */
static int check_transfer_encoding(const char *value, struct error *error) {
        if (strcasecmp(value, "binary") == 0 || strcasecmp(value, "8bit") == 0 ||
            strcasecmp(value, "7bit") == 0)
                return 0;
        return error_set(error, ERROR_UNSUPPORTED,
                         "its Content-Transfer-Encoding is '%.*s'; send the bytes of the file as they are",
                         shown(value), value);
}

/* RFC 7578, section 4.3: several files are several parts, not a multipart/mixed inside of one. */
static int check_content_type(const char *value, struct error *error) {
        static const char refused[] = "multipart/";

        if (strncasecmp(value, refused, strlen(refused)) != 0)
                return 0;
        return error_set(error, ERROR_UNSUPPORTED,
                         "it is '%.*s', a multipart inside of a part; send each file as a part of its own",
                         (int)utf8_prefix(value, parameter_type_size(value), SHOWN_BYTES), value);
}

/* Splits "Name: value" in place, blanks around the value removed. */
static int split_line(char *line, const char **ret_value, struct error *error) {
        size_t name_size = strcspn(line, ": \t");
        char *value = line + name_size, *end;

        if (name_size == 0 || *value != ':')
                return error_set(error, ERROR_INVALID,
                                 "'%.*s' is no header line 'Name: value'; an empty line must stand between "
                                 "headers and content",
                                 shown(line), line);
        *value++ = 0;
        value += strspn(value, " \t");
        end = value + strlen(value);
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                *--end = 0;
        *ret_value = value;
        return 0;
}

static int parse_lines(struct multipart_headers *headers, char *text, struct error *error) {
        bool has_disposition = false;
        char *line, *rest = text;
        int r;

        while ((line = strsep(&rest, "\n"))) {
                const char *value = "";

                if (!*line && !rest)
                        break;
                r = split_line(line, &value, error);
                if (r < 0)
                        return r;
                if (strcasecmp(line, "Content-Disposition") == 0) {
                        if (has_disposition)
                                return error_set(error, ERROR_INVALID,
                                                 "it has two Content-Disposition headers");
                        has_disposition = true;
                        r = parse_disposition(headers, value, error);
                } else if (strcasecmp(line, "Content-Transfer-Encoding") == 0)
                        r = check_transfer_encoding(value, error);
                else if (strcasecmp(line, "Content-Type") == 0)
                        r = check_content_type(value, error);
                if (r < 0)
                        return r;
        }
        if (!has_disposition)
                return error_set(
                        error, ERROR_INVALID,
                        "it has no Content-Disposition header; give it one like: Content-Disposition: "
                        "form-data; name=\"image\"; filename=\"cat.jpg\"");
        return 0;
}

int multipart_headers_parse(struct multipart_headers *ret_headers, const char *bytes, size_t size,
                            struct error *error) {
        _cleanup_(multipart_headers_release) struct multipart_headers headers = {0};
        char text[MULTIPART_MAX_HEADER_BYTES + 1];
        int r;

        if (size > MULTIPART_MAX_HEADER_BYTES)
                return error_set(error, ERROR_LIMIT, "its headers have %zu bytes, the limit is %u", size,
                                 MULTIPART_MAX_HEADER_BYTES);
        r = unfold(text, bytes, size, error);
        if (r < 0)
                return r;
        r = parse_lines(&headers, text, error);
        if (r < 0)
                return r;

        *ret_headers = headers;
        headers = (struct multipart_headers){0};
        return 0;
}

void multipart_headers_release(struct multipart_headers *headers) {
        free(headers->name);
        free(headers->filename);
        *headers = (struct multipart_headers){0};
}
