#pragma once
/*
 * response: one HTTP/1.1 response, found in the bytes of a connection as they come.
 *
 * Its body is counted and dropped. Bodies have a length or end with the connection; chunks are not
 * understood. Plain values, no allocation.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_MAX_HEAD_BYTES 8192u

enum response_part { RESPONSE_HEAD, RESPONSE_BODY, RESPONSE_COMPLETE };

struct response {
        enum response_part part;
        size_t head_bytes;
        uint64_t left_bytes; /* of a body with a length */
        unsigned status;
        unsigned retry_after_s; /* with has_retry_after */
        bool has_length, has_retry_after;
        bool closes; /* the connection ends after it */
        char head[RESPONSE_MAX_HEAD_BYTES + 1];
};

void response_begin(struct response *response);

/* Takes bytes. Returns true when the response is complete, which is when nothing more may come; false where
 * more is wanted. Fails with ERROR_INVALID or ERROR_UNSUPPORTED. */
int response_feed(struct response *response, const char *bytes, size_t n, bool *ret_complete);

/* The connection has ended: whether that completes the response. */
bool response_end(struct response *response);
