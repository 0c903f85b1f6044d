/* A form -> parts -> the names of their files in an answer. The first line is the Content-Type, the rest the
 * body. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proto/classify.h"
#include "proto/multipart.h"
#include "proto/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool condition) {
        if (!condition)
                abort();
}

static void check_answer(const struct multipart_part *part) {
        struct classify_result result = {.id = part->name, .filename = part->filename};
        _cleanup_(freep) char *text = NULL;
        size_t size;

        require(classify_results_to_json(&text, &size, &result, 1, NULL) == 0);
        require(strlen(text) == size && utf8_is_valid(text, size));
}

/* Parts lie within the body, one after the other. */
static void check_parts(const struct multipart *multipart, const uint8_t *body, size_t size) {
        const uint8_t *end = body;

        require(multipart_n_parts(multipart) <= MULTIPART_MAX_PARTS);
        for (size_t i = 0; i < multipart_n_parts(multipart); i++) {
                const struct multipart_part *part = multipart_part(multipart, i);

                require(part->bytes >= end && part->size <= (size_t)(body + size - part->bytes));
                end = part->bytes + part->size;
                check_answer(part);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(multipart_freep) struct multipart *multipart = NULL;
        const uint8_t *line_end = size > 0 ? memchr(bytes, '\n', size) : NULL;
        _cleanup_(freep) char *content_type = NULL;
        struct error error = ERROR_NONE;
        int r;

        if (!line_end)
                return 0;
        content_type = strndup((const char *)bytes, (size_t)(line_end - bytes));
        if (!content_type)
                return 0;
        size -= (size_t)(line_end + 1 - bytes);
        r = multipart_parse(&multipart, content_type, line_end + 1, size, &error);
        if (r < 0) {
                require(!multipart && error.code == r && error.text[0]);
                return 0;
        }
        check_parts(multipart, line_end + 1, size);
        require(multipart_check_content_type(content_type, NULL) == 0);
        return 0;
}
