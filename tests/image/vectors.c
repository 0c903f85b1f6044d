#include "tests/image/vectors.h"

#include <stdio.h>
#include <stdlib.h>

struct blob vector_read(const char *name, const char *suffix) {
        struct blob blob = BLOB_NONE;
        struct error error;
        char path[4096];

        snprintf(path, sizeof(path), VECTORS_DIRECTORY "/%s%s", name, suffix);
        ck_assert_msg(blob_read(&blob, path, (size_t)1 << 20, &error) == 0, "%s", error.text);
        return blob;
}

uint64_t vector_digest(const void *bytes, size_t size) {
        const unsigned char *byte = bytes;
        uint64_t value = 0xcbf29ce484222325;

        for (size_t i = 0; i < size; i++)
                value = (value ^ byte[i]) * 0x100000001b3;
        return value;
}

uint64_t vector_random(uint64_t *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

int vector_main(const char *name, TCase *tcase) {
        Suite *suite = suite_create(name);
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 100);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        /* Nothing but TAP between the lines of TAP. */
        srunner_run_all(runner, getenv("CK_TAP_LOG_FILE_NAME") ? CK_SILENT : CK_ENV);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? 0 : 1;
}
