/* Real photographs: what Pillow 13 makes of them, by digest. They are no part of the project: skipped where
 * missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/image/image.h"
#include "tests/image/vectors.h"

#define TENSOR_BYTES (224u * 224u * 3u)

static const char *photographs_directory(void) {
        const char *directory = getenv("SACCADE_PHOTOGRAPHS");

        return directory ? directory : PHOTOGRAPHS_DIRECTORY;
}

/* The next photograph of the list that is there; its name and expected digest from "name\tdigest\n". */
static const char *photograph_read(const char *line, struct blob *ret_blob, char name[256],
                                   uint64_t *ret_digest) {
        char path[4096], digest[17];
        struct error error;

        ck_assert_int_eq(sscanf(line, "%255[^\t]\t%16s", name, digest), 2);
        *ret_digest = strtoull(digest, NULL, 16);
        snprintf(path, sizeof(path), "%s/%s", photographs_directory(), name);
        if (blob_read(ret_blob, path, (size_t)64 << 20, &error) < 0)
                *ret_blob = BLOB_NONE;
        return strchr(line, '\n') + 1;
}

/* Decodes all; returns how many were there. */
static size_t photographs_decode(bool exact, size_t *ret_n_scaled) {
        _cleanup_(blob_release) struct blob list = vector_read("photographs", ".tsv");
        _cleanup_(image_decoder_freep) struct image_decoder *decoder = NULL;
        struct image_options options = {.exact = exact};
        static unsigned char pixels[TENSOR_BYTES];
        size_t n_decoded = 0, n_scaled = 0;
        struct error error;

        ck_assert_int_eq(image_decoder_new(&decoder, &error), 0);
        for (const char *line = (const char *)list.bytes; *line;) {
                _cleanup_(blob_release) struct blob blob = BLOB_NONE;
                struct image_info info;
                uint64_t digest;
                char name[256];

                line = photograph_read(line, &blob, name, &digest);
                if (!blob.bytes)
                        continue;
                ck_assert_msg(image_decode(decoder, pixels, &PREPROCESS_IMAGENET, &options, blob.bytes,
                                           blob.size, &info, &error) == 0,
                              "%s: %s", name, error.text);
                if (info.scale == 1)
                        ck_assert_msg(vector_digest(pixels, sizeof(pixels)) == digest,
                                      "%s: not Pillow's pixels", name);
                n_scaled += info.scale > 1;
                n_decoded++;
        }
        if (n_decoded == 0)
                printf("# skipped: no photographs in %s (SACCADE_PHOTOGRAPHS names another directory)\n",
                       photographs_directory());
        *ret_n_scaled = n_scaled;
        return n_decoded;
}

START_TEST(exact_tensors_are_pillows_to_the_bit) {
        size_t n_scaled;

        photographs_decode(true, &n_scaled);
        ck_assert_uint_eq(n_scaled, 0);
}
END_TEST

START_TEST(no_photograph_is_refused_when_scaling_is_allowed) {
        size_t n_scaled;

        if (photographs_decode(false, &n_scaled) > 0)
                ck_assert_uint_gt(n_scaled, 0);
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("photographs");

        tcase_add_test(tcase, exact_tensors_are_pillows_to_the_bit);
        tcase_add_test(tcase, no_photograph_is_refused_when_scaling_is_allowed);
        return vector_main("image photographs", tcase);
}
