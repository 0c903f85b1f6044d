/* The orientation in EXIF bytes: valid ones by the TIFF specification, and hostile ones. */
#include <string.h>

#include "base/macros.h"
#include "engine/image/exif.h"
#include "tests/image/vectors.h"

/* Header of 14 bytes, directory of 2 + 2 * 12 + 4. */
#define LITTLE                                                                                              \
        "Exif\0\0II\x2a\0\x08\0\0\0"                                                                        \
        "\x02\0"                                                                                            \
        "\x0f\x01\x02\0\x04\0\0\0abc\0"                                                                     \
        "\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"                                                                \
        "\0\0\0\0"
#define BIG                                                                                                 \
        "Exif\0\0MM\0\x2a\0\0\0\x08"                                                                        \
        "\0\x02"                                                                                            \
        "\x01\x0f\0\x02\0\0\0\x04"                                                                          \
        "abc\0"                                                                                             \
        "\x01\x12\0\x03\0\0\0\x01\0\x08\0\0"                                                                \
        "\0\0\0\0"

enum {
        DIRECTORY_OFFSET = 10,
        N_ENTRIES = 14,
        TAG = 28,
        TYPE = 30,
        COUNT = 32,
        VALUE = 36,
};

/* From a copy of its exact size, so that a sanitizer sees each byte that is read too far. */
static int orientation_of(const void *bytes, size_t size) {
        _cleanup_(freep) void *copy = malloc(size > 0 ? size : 1);

        memcpy(copy, bytes, size);
        return (int)exif_orientation_of(copy, size);
}

/* The orientation where one byte of the little-endian example is another. */
static int orientation_with(size_t at, unsigned char byte) {
        unsigned char bytes[] = LITTLE;

        bytes[at] = byte;
        return orientation_of(bytes, sizeof(bytes) - 1);
}

START_TEST(both_byte_orders_are_read) {
        ck_assert_int_eq(orientation_of(LITTLE, sizeof(LITTLE) - 1), EXIF_RIGHT_TOP);
        ck_assert_int_eq(orientation_of(BIG, sizeof(BIG) - 1), EXIF_LEFT_BOTTOM);
}
END_TEST

START_TEST(all_eight_orientations_are_read) {
        for (unsigned char value = 1; value <= 8; value++)
                ck_assert_int_eq(orientation_with(VALUE, value), value);
}
END_TEST

START_TEST(byte_and_long_are_read_like_short) {
        ck_assert_int_eq(orientation_with(TYPE, 1), 6);
        ck_assert_int_eq(orientation_with(TYPE, 4), 6);
}
END_TEST

START_TEST(a_value_out_of_range_is_upright) {
        ck_assert_int_eq(orientation_with(VALUE, 0), 1);
        ck_assert_int_eq(orientation_with(VALUE, 9), 1);
        ck_assert_int_eq(orientation_with(VALUE + 1, 1), 1);
}
END_TEST

START_TEST(another_type_or_count_is_upright) {
        ck_assert_int_eq(orientation_with(TYPE, 2), 1);
        ck_assert_int_eq(orientation_with(TYPE, 200), 1);
        ck_assert_int_eq(orientation_with(COUNT, 2), 1);
        ck_assert_int_eq(orientation_with(COUNT, 0), 1);
        ck_assert_int_eq(orientation_with(COUNT + 3, 0xff), 1);
}
END_TEST

START_TEST(a_missing_tag_is_upright) {
        ck_assert_int_eq(orientation_with(TAG, 0x13), 1);
        ck_assert_int_eq(orientation_with(N_ENTRIES, 0), 1);
        ck_assert_int_eq(orientation_with(N_ENTRIES, 1), 1);
}
END_TEST

START_TEST(more_entries_than_there_are_do_no_harm) {
        unsigned char bytes[] = LITTLE;

        ck_assert_int_eq(orientation_with(N_ENTRIES, 0xff), 6);
        bytes[N_ENTRIES] = bytes[N_ENTRIES + 1] = 0xff;
        bytes[TAG] = 0;
        ck_assert_int_eq(orientation_of(bytes, sizeof(bytes) - 1), 1);
}
END_TEST

START_TEST(a_directory_outside_is_upright) {
        for (size_t i = 0; i < 4; i++)
                ck_assert_int_eq(orientation_with(DIRECTORY_OFFSET + i, 0xff), 1);
}
END_TEST

START_TEST(another_signature_is_upright) {
        for (size_t i = 0; i < DIRECTORY_OFFSET; i++)
                ck_assert_int_eq(orientation_with(i, 0x55), 1);
}
END_TEST

START_TEST(cut_anywhere_before_the_value_it_is_upright) {
        for (size_t size = 0; size < VALUE + 2; size++)
                ck_assert_int_eq(orientation_of(LITTLE, size), 1);
        for (size_t size = VALUE + 2; size < sizeof(LITTLE); size++)
                ck_assert_int_eq(orientation_of(LITTLE, size), 6);
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("exif");

        tcase_add_test(tcase, both_byte_orders_are_read);
        tcase_add_test(tcase, all_eight_orientations_are_read);
        tcase_add_test(tcase, byte_and_long_are_read_like_short);
        tcase_add_test(tcase, a_value_out_of_range_is_upright);
        tcase_add_test(tcase, another_type_or_count_is_upright);
        tcase_add_test(tcase, a_missing_tag_is_upright);
        tcase_add_test(tcase, more_entries_than_there_are_do_no_harm);
        tcase_add_test(tcase, a_directory_outside_is_upright);
        tcase_add_test(tcase, another_signature_is_upright);
        tcase_add_test(tcase, cut_anywhere_before_the_value_it_is_upright);
        return vector_main("image exif", tcase);
}
