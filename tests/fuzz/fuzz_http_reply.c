/* The bytes of an answer as they come, all at once and piece by piece: both must find the same body. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/top/http_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define MAX_BODY 65536u

static void require(bool condition) {
        if (!condition)
                abort();
}

static void check_complete(const struct http_reply *reply, const char *text, size_t size) {
        _cleanup_(freep) char *copy = malloc(MAX(size, (size_t)1));
        size_t joined;

        require(copy != NULL);
        memcpy(copy, text, size);
        require(reply->status <= 999 && reply->body <= size && reply->size <= size - reply->body);
        joined = http_reply_join(reply, copy);
        require(joined <= reply->size && joined <= MAX_BODY);
        require(reply->chunked || joined == reply->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        const char *text = (const char *)bytes;
        size_t step = size > 4096 ? size / 64 : 1;
        struct http_reply reply, first = {0};
        struct error error = ERROR_NONE;
        int r = HTTP_REPLY_MORE;

        for (size_t n = 0; n <= size && r == HTTP_REPLY_MORE; n += step)
                r = http_reply_read(&first, text, n, false, MAX_BODY, &error);
        if (r == 0)
                check_complete(&first, text, size);
        r = http_reply_read(&reply, text, size, true, MAX_BODY, &error);
        require(r <= 0);
        if (r == 0)
                check_complete(&reply, text, size);
        else
                require(error.code == r && error.text[0]);
        return 0;
}
