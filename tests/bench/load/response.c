#include "tests/bench/load/response.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/macros.h"

void response_begin(struct response *response) {
        response->part = RESPONSE_HEAD;
        response->head_bytes = 0;
        response->left_bytes = 0;
        response->status = response->retry_after_s = 0;
        response->has_length = response->has_retry_after = response->closes = false;
}

static bool parse_number(const char *text, uint64_t *ret_number) {
        char *end;

        if (!isdigit((unsigned char)*text))
                return false;
        errno = 0;
        *ret_number = strtoull(text, &end, 10);
        return errno == 0 && *end == '\0';
}

/* The value of a line "name: value" with that name, or NULL. */
static const char *value_of(const char *line, const char *name) {
        size_t n = strlen(name);

        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
                return NULL;
        return line + n + 1 + strspn(line + n + 1, " \t");
}

static int parse_field(struct response *response, const char *line) {
        const char *value;
        uint64_t number;

        if ((value = value_of(line, "Content-Length"))) {
                if (!parse_number(value, &response->left_bytes))
                        return ERROR_INVALID;
                response->has_length = true;
        } else if ((value = value_of(line, "Retry-After"))) {
                /* The other form, a date, is not what a server that counts seconds sends. */
                if (!parse_number(value, &number))
                        return ERROR_UNSUPPORTED;
                response->retry_after_s = (unsigned)MIN(number, (uint64_t)86400);
                response->has_retry_after = true;
        } else if ((value = value_of(line, "Connection"))) {
                response->closes = strcasecmp(value, "close") == 0;
        } else if (value_of(line, "Transfer-Encoding"))
                return ERROR_UNSUPPORTED;
        return 0;
}

/* head: complete, with its empty line, terminated. */
static int parse_head(struct response *response) {
        char *line = response->head, *end;
        int r;

        if (strncmp(line, "HTTP/1.1 ", 9) != 0 || !isdigit((unsigned char)line[9]))
                return ERROR_INVALID;
        response->status = (unsigned)strtoul(line + 9, NULL, 10);
        while ((end = strstr(line, "\r\n")) && end != line) {
                *end = '\0';
                r = line != response->head ? parse_field(response, line) : 0;
                if (r < 0)
                        return r;
                line = end + 2;
        }
        if (response->status == 204 || response->status == 304)
                response->has_length = true;
        if (!response->has_length)
                response->closes = true;
        return 0;
}

/* Returns how many of the bytes belong to the head. */
static size_t add_to_head(struct response *response, const char *bytes, size_t n, bool *ret_whole) {
        size_t room = RESPONSE_MAX_HEAD_BYTES - response->head_bytes, taken = MIN(n, room);
        size_t before = response->head_bytes, from = before > 3 ? before - 3 : 0, used;
        const char *end;

        memcpy(response->head + before, bytes, taken);
        end = memmem(response->head + from, before + taken - from, "\r\n\r\n", 4);
        used = end ? (size_t)(end + 4 - response->head) - before : taken;
        response->head_bytes += used;
        *ret_whole = end != NULL;
        return used;
}

int response_feed(struct response *response, const char *bytes, size_t n, bool *ret_complete) {
        while (response->part == RESPONSE_HEAD && n > 0) {
                bool whole;
                size_t used = add_to_head(response, bytes, n, &whole);
                int r;

                if (!whole && response->head_bytes == RESPONSE_MAX_HEAD_BYTES)
                        return ERROR_INVALID;
                bytes += used;
                n -= used;
                if (!whole)
                        break;
                response->head[response->head_bytes] = '\0';
                r = parse_head(response);
                if (r < 0)
                        return r;
                if (response->status < 200)
                        response_begin(response); /* an interim one: the response is still to come */
                else
                        response->part = response->has_length && response->left_bytes == 0
                                                 ? RESPONSE_COMPLETE
                                                 : RESPONSE_BODY;
        }
        if (response->part == RESPONSE_BODY && response->has_length) {
                uint64_t used = MIN((uint64_t)n, response->left_bytes);

                response->left_bytes -= used;
                n -= (size_t)used;
                if (response->left_bytes == 0)
                        response->part = RESPONSE_COMPLETE;
        } else if (response->part == RESPONSE_BODY)
                n = 0;
        if (n > 0)
                return ERROR_INVALID; /* an answer to no question */
        *ret_complete = response->part == RESPONSE_COMPLETE;
        return 0;
}

bool response_end(struct response *response) {
        if (response->part == RESPONSE_BODY && !response->has_length)
                response->part = RESPONSE_COMPLETE;
        return response->part == RESPONSE_COMPLETE;
}
