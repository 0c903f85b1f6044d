#include "cli/top/http_reply.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"

struct header {
        bool has_length;
        uint64_t length;
        const char *refused; /* why the answer is not understood */
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static int no_http(struct error *error) {
        return error_set(error, ERROR_INVALID, "the answer is no HTTP");
}

/* At most 15 digits, which no size needs. */
static bool parse_digits(uint64_t *ret_value, const char *text, size_t size) {
        uint64_t value = 0;

        if (size == 0 || size > 15)
                return false;
        for (size_t i = 0; i < size; i++) {
                if (!is_digit(text[i]))
                        return false;
                value = value * 10 + (uint64_t)(text[i] - '0');
        }
        *ret_value = value;
        return true;
}

static bool is_field(const char *line, size_t size, const char *name) {
        return size == strlen(name) && strncasecmp(line, name, size) == 0;
}

/* One line without its end: "Name: value". */
static void read_field(struct http_reply *reply, struct header *header, const char *line, size_t size) {
        const char *colon = memchr(line, ':', size), *value = colon ? colon + 1 : NULL;
        size_t name_size = colon ? (size_t)(colon - line) : 0, n;

        if (!colon)
                return;
        n = size - name_size - 1;
        for (; n > 0 && (*value == ' ' || *value == '\t'); n--)
                value++;
        while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
                n--;
        if (is_field(line, name_size, "Content-Length")) {
                header->has_length = parse_digits(&header->length, value, n);
                if (!header->has_length)
                        header->refused = "its Content-Length is no size";
        } else if (is_field(line, name_size, "Transfer-Encoding")) {
                reply->chunked = is_field(value, n, "chunked");
                if (!reply->chunked)
                        header->refused = "its Transfer-Encoding is not known here";
        } else if (is_field(line, name_size, "Content-Encoding")) {
                if (!is_field(value, n, "identity"))
                        header->refused = "it is compressed, which was not asked for";
        } else if (is_field(line, name_size, "Location") && n < sizeof(reply->location)) {
                memcpy(reply->location, value, n);
                reply->location[n] = 0;
        }
}

/* "HTTP/1.1 200 OK" */
static bool read_status(struct http_reply *reply, const char *line, size_t size) {
        if (size < 12 || strncmp(line, "HTTP/1.", 7) != 0 || !is_digit(line[7]) || line[8] != ' ')
                return false;
        for (size_t i = 9; i < 12; i++) {
                if (!is_digit(line[i]))
                        return false;
                reply->status = reply->status * 10 + (unsigned)(line[i] - '0');
        }
        return size == 12 || line[12] == ' ';
}

/* Sets *ret_size to the header's bytes, 0 where its end has not come. */
static int read_header(struct http_reply *reply, struct header *header, const char *bytes, size_t size,
                       size_t *ret_size, struct error *error) {
        bool first = true;

        for (size_t at = 0;;) {
                const char *newline = memchr(bytes + at, '\n', size - at);
                size_t n = newline ? (size_t)(newline - bytes) - at : 0;

                if ((newline ? at + n : size) > HTTP_REPLY_MAX_HEADER)
                        return error_set(error, ERROR_LIMIT, "the answer's header has more than %zu bytes",
                                         HTTP_REPLY_MAX_HEADER);
                if (!newline) {
                        *ret_size = 0;
                        return 0;
                }
                if (n > 0 && bytes[at + n - 1] == '\r')
                        n--;
                if (first && !read_status(reply, bytes + at, n))
                        return no_http(error);
                if (!first && n == 0) {
                        *ret_size = (size_t)(newline - bytes) + 1;
                        return 0;
                }
                if (!first)
                        read_field(reply, header, bytes + at, n);
                first = false;
                at = (size_t)(newline - bytes) + 1;
        }
}

static int hex_value(char c) {
        if (is_digit(c))
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A chunk at bytes: where its data begin and how many they are. 0, HTTP_REPLY_MORE, or -1: malformed. */
static int read_chunk(const char *bytes, size_t size, size_t *ret_data, size_t *ret_size) {
        const char *newline = memchr(bytes, '\n', size);
        size_t value = 0, i = 0;

        if (!newline)
                return size > 256 ? -1 : HTTP_REPLY_MORE;
        for (; i < 8 && hex_value(bytes[i]) >= 0; i++)
                value = value * 16 + (size_t)hex_value(bytes[i]);
        if (i == 0 || (bytes[i] != '\r' && bytes[i] != '\n' && bytes[i] != ';' && bytes[i] != ' '))
                return -1;
        *ret_data = (size_t)(newline - bytes) + 1;
        *ret_size = value;
        return 0;
}

/* The line end after a chunk's data: its bytes, 0 where they have not come, -1 where something else stands
 * there. */
static int line_end(const char *bytes, size_t size) {
        if (size > 0 && bytes[0] == '\n')
                return 1;
        if (size < 2)
                return size == 0 || bytes[0] == '\r' ? 0 : -1;
        return bytes[0] == '\r' && bytes[1] == '\n' ? 2 : -1;
}

static int measure_chunks(const char *bytes, size_t size, size_t *ret_size, size_t max_body,
                          struct error *error) {
        size_t at = 0, total = 0;

        for (;;) {
                size_t data = 0, n = 0;
                int r = read_chunk(bytes + at, size - at, &data, &n), end;

                if (r == HTTP_REPLY_MORE)
                        return r;
                if (r < 0)
                        return error_set(error, ERROR_INVALID, "the chunks of the answer are malformed");
                /* Trailers follow, which are of no interest. */
                if (n == 0) {
                        *ret_size = at + data;
                        return 0;
                }
                total += n;
                if (total > max_body)
                        return error_set(error, ERROR_LIMIT, "the answer has more than %zu bytes", max_body);
                if (n > size - at - data)
                        return HTTP_REPLY_MORE;
                end = line_end(bytes + at + data + n, size - at - data - n);
                if (end == 0)
                        return HTTP_REPLY_MORE;
                if (end < 0)
                        return error_set(error, ERROR_INVALID, "the chunks of the answer are malformed");
                at += data + n + (size_t)end;
        }
}

static int measure_body(struct http_reply *reply, const struct header *header, const char *bytes,
                        size_t size, bool ended, size_t max_body, struct error *error) {
        if (reply->chunked)
                return measure_chunks(bytes, size, &reply->size, max_body, error);
        reply->size = header->has_length ? (size_t)header->length : size;
        if (reply->size > max_body)
                return error_set(error, ERROR_LIMIT, "the answer has more than %zu bytes", max_body);
        if (header->has_length)
                return size < reply->size ? HTTP_REPLY_MORE : 0;
        return ended ? 0 : HTTP_REPLY_MORE;
}

int http_reply_read(struct http_reply *ret_reply, const char *bytes, size_t size, bool ended,
                    size_t max_body, struct error *error) {
        struct http_reply reply = {0};
        struct header header = {0};
        int r;

        r = read_header(&reply, &header, bytes, size, &reply.body, error);
        if (r < 0)
                return r;
        if (reply.body == 0)
                r = HTTP_REPLY_MORE;
        else if (header.refused)
                return error_set(error, ERROR_INVALID, "the answer is not understood: %s", header.refused);
        else
                r = measure_body(&reply, &header, bytes + reply.body, size - reply.body, ended, max_body,
                                 error);
        if (r == HTTP_REPLY_MORE && ended)
                return error_set(error, ERROR_INVALID, "the answer ended early, after %zu bytes", size);
        if (r == 0)
                *ret_reply = reply;
        return r;
}

size_t http_reply_join(const struct http_reply *reply, char *bytes) {
        char *body = bytes + reply->body;
        size_t to = 0;

        if (!reply->chunked)
                return reply->size;
        for (size_t at = 0; at < reply->size;) {
                size_t data = 0, n = 0;

                if (read_chunk(body + at, reply->size - at, &data, &n) != 0 || n == 0)
                        break;
                memmove(body + to, body + at + data, n);
                to += n;
                at += data + n;
                at += (size_t)MAX(line_end(body + at, reply->size - at), 0);
        }
        return to;
}
