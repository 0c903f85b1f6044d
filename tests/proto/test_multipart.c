/* Forms: what real clients send (make_multipart.py), and what hostile ones might. */
#include "proto/multipart.h"

#include "tests/proto/suite.h"

#define TYPE        "multipart/form-data; boundary=b"
#define DISPOSITION "Content-Disposition: form-data; name=\"a\"; filename=\"x\"\r\n"
#define PART        "--b\r\n" DISPOSITION "\r\n1\r\n"

/* The body is copied to an allocation without a spare byte, so that AddressSanitizer sees a step too far. */
static int parse(const char *content_type, const void *body, size_t size, struct error *error) {
        _cleanup_(multipart_freep) struct multipart *multipart = NULL;
        _cleanup_(freep) char *exact = malloc(size);
        int r;

        if (size > 0)
                memcpy(exact, body, size);
        r = multipart_parse(&multipart, content_type, exact, size, error);
        ck_assert((r == 0) == (multipart != NULL));
        return r;
}

static int parse_text(const char *content_type, const char *body, struct error *error) {
        return parse(content_type, body, strlen(body), error);
}

static void check_part(const struct multipart_part *part, const cJSON *wanted, const char *name) {
        const cJSON *filename = cJSON_GetObjectItemCaseSensitive(wanted, "filename");
        size_t size;
        _cleanup_(freep) char *wanted_name = vectors_bytes(vectors_text(wanted, "name"), &size);
        _cleanup_(freep) char *wanted_filename = NULL;
        _cleanup_(freep) char *bytes = NULL;

        ck_assert_msg(strcmp(part->name, wanted_name) == 0, "%s: name '%s', not '%s'", name, part->name,
                      wanted_name);
        ck_assert_msg((part->filename == NULL) == cJSON_IsNull(filename), "%s: filename", name);
        if (part->filename) {
                wanted_filename = vectors_bytes(filename->valuestring, &size);
                ck_assert_msg(strcmp(part->filename, wanted_filename) == 0, "%s: filename '%s', not '%s'",
                              name, part->filename, wanted_filename);
        }
        bytes = vectors_bytes(vectors_text(wanted, "bytes"), &size);
        ck_assert_msg(part->size == size, "%s: %zu bytes, not %zu", name, part->size, size);
        ck_assert_msg(memcmp(part->bytes, bytes, size) == 0, "%s: bytes", name);
}

START_TEST(multipart_takes_what_clients_send) {
        _cleanup_(json_treep) cJSON *vectors = vectors_read("multipart.json");
        const cJSON *vector;

        cJSON_ArrayForEach(vector, vectors) {
                _cleanup_(multipart_freep) struct multipart *multipart = NULL;
                const char *name = vectors_text(vector, "name");
                const cJSON *parts = cJSON_GetObjectItemCaseSensitive(vector, "parts"), *part;
                struct error error = ERROR_NONE;
                size_t size, i = 0;
                _cleanup_(freep) char *body = vectors_bytes(vectors_text(vector, "body"), &size);
                int r = multipart_parse(&multipart, vectors_text(vector, "content_type"), body, size,
                                        &error);

                ck_assert_msg(r == 0, "%s: %s", name, error.text);
                ck_assert_msg(multipart_n_parts(multipart) == (size_t)cJSON_GetArraySize(parts),
                              "%s: %zu parts", name, multipart_n_parts(multipart));
                cJSON_ArrayForEach(part, parts) check_part(multipart_part(multipart, i++), part, name);
        }
        ck_assert_int_gt(cJSON_GetArraySize(vectors), 20);
}
END_TEST

/* A body that was cut off anywhere must never be taken for a whole one, and never be read beyond its end. */
START_TEST(multipart_cut_anywhere_is_an_error) {
        _cleanup_(json_treep) cJSON *vectors = vectors_read("multipart.json");
        const cJSON *vector;

        cJSON_ArrayForEach(vector, vectors) {
                const char *name = vectors_text(vector, "name"),
                           *content_type = vectors_text(vector, "content_type");
                size_t size, whole;
                _cleanup_(freep) char *body = vectors_bytes(vectors_text(vector, "body"), &size);

                if (strstr(name, "epilogue") || strstr(name, "lines that begin"))
                        continue;
                for (whole = size; whole > 0 && body[whole - 1] != '-';)
                        whole--;
                for (size_t cut = 0; cut < whole; cut++)
                        ck_assert_msg(parse(content_type, body, cut, NULL) == ERROR_INVALID,
                                      "%s cut at %zu of %zu", name, cut, size);
        }
}
END_TEST

START_TEST(multipart_content_type_errors_say_what_to_change) {
        static const struct {
                const char *content_type, *text;
        } bad[] = {
                {NULL, "Content-Type: '' is not multipart/form-data"},
                {"image/jpeg", "Content-Type: 'image/jpeg' is not multipart/form-data"},
                {"multipart/form-dat; boundary=b", "'multipart/form-dat' is not"},
                {"multipart/form-datax; boundary=b", "'multipart/form-datax' is not"},
                {"multipart/form-data", "there is no boundary; let the HTTP client set this header itself"},
                {"multipart/form-data;", "there is no boundary"},
                {"multipart/form-data; boundary", "'boundary' is no name=value"},
                {"multipart/form-data; boundary=", "the boundary is empty"},
                {"multipart/form-data; boundary=\"\"", "the boundary is empty"},
                {"multipart/form-data; boundary=\"b", "the quoted value of 'boundary' has no closing"},
                {"multipart/form-data; boundary=\"b\\\"", "the quoted value of 'boundary' has no closing"},
                {"multipart/form-data; boundary=\"b \"", "ends in a blank"},
                {"multipart/form-data; boundary=b\x01", "byte 0x01"},
                {"multipart/form-data; boundary=b\xC3\xA9", "byte 0xc3"},
                {"multipart/form-data; boundary=b; boundary=c", "two boundaries"},
                {"multipart/form-data; boundary=b c", "'c' stands where ';' or the end must be"},
                {"multipart/form-data; =b", "is no name=value"},
                {"multipart/form-data; "
                 "boundary=0123456789012345678901234567890123456789012345678901234567890123456789x",
                 "the boundary has 71 characters; RFC 2046 allows 1 to 70"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct error error;

                ck_assert_error(parse_text(bad[i].content_type, PART "--b--\r\n", &error), ERROR_INVALID,
                                error, bad[i].text);
                ck_assert_error(multipart_check_content_type(bad[i].content_type, &error), ERROR_INVALID,
                                error, bad[i].text);
        }
        ck_assert_int_eq(multipart_check_content_type(TYPE, NULL), 0);
        ck_assert_int_eq(multipart_check_content_type(" multipart/form-data ; boundary=b ; ", NULL), 0);
}
END_TEST

START_TEST(multipart_body_errors_say_what_to_change) {
        static const struct {
                const char *body;
                int code;
                const char *text;
        } bad[] = {
                {"", ERROR_INVALID, "the body is empty; send at least one file part"},
                {"x", ERROR_INVALID, "no line '--b', the boundary that the Content-Type header names"},
                {"--c\r\n\r\n--c--\r\n", ERROR_INVALID, "no line '--b'"},
                {"--b", ERROR_INVALID, "no line '--b'"},
                {"--b\nContent-Disposition: form-data\n\n1\n--b--\n", ERROR_INVALID, "ends in LF alone"},
                {PART, ERROR_INVALID, "does not end with a line '--b--' after part 1"},
                {PART PART, ERROR_INVALID, "does not end with a line '--b--' after part 2"},
                {PART "--b-", ERROR_INVALID, "does not end with a line '--b--' after part 1"},
                {"--b\r\n--b--\r\n", ERROR_INVALID, "part 1: it has no Content-Disposition header"},
                {"--b\r\n\r\n--b--\r\n", ERROR_INVALID, "part 1: it has no Content-Disposition header"},
                {"--b\r\n\r\n1\r\n--b--\r\n", ERROR_INVALID, "part 1: it has no Content-Disposition header"},
                {PART "--b\r\nContent-Type: image/jpeg\r\n\r\n1\r\n--b--\r\n", ERROR_INVALID,
                 "part 2: it has no Content-Disposition header"},
                {"--b\r\n\xFF\xD8\xFF\r\n--b--\r\n", ERROR_INVALID,
                 "part 1: '\xFF\xD8\xFF' is no header line"},
                {"--b\r\n" DISPOSITION "no header\r\n\r\n1\r\n--b--\r\n", ERROR_INVALID,
                 "'no header' is no header line"},
                {"--b\r\n: x\r\n\r\n1\r\n--b--\r\n", ERROR_INVALID, "': x' is no header line"},
                {"--b\r\nA : x\r\n\r\n1\r\n--b--\r\n", ERROR_INVALID, "'A : x' is no header line"},
                {"--b\r\n" DISPOSITION DISPOSITION "\r\n1\r\n--b--\r\n", ERROR_INVALID,
                 "two Content-Disposition headers"},
                {"--b\r\nContent-Disposition: attachment; filename=x\r\n\r\n1\r\n--b--\r\n", ERROR_INVALID,
                 "part 1: its Content-Disposition is 'attachment'; make it form-data"},
                {"--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n1\r\n--b--\r\n",
                 ERROR_INVALID, "gives name twice"},
                {"--b\r\nContent-Disposition: form-data; filename=a; filename=\"b\"\r\n\r\n1\r\n--b--\r\n",
                 ERROR_INVALID, "gives filename twice"},
                {"--b\r\nContent-Disposition: form-data; filename=\"a\r\n\r\n1\r\n--b--\r\n", ERROR_INVALID,
                 "the quoted value of 'filename' has no closing '\"'"},
                {"--b\r\nContent-Disposition: form-data; filename=my cat.jpg\r\n\r\n1\r\n--b--\r\n",
                 ERROR_INVALID, "put a value with blanks between double quotes"},
                {"--b\r\nContent-Disposition: form-data\r\nA\nB: 1\r\n\r\n1\r\n--b--\r\n", ERROR_INVALID,
                 "control character 0x0a"},
                {"--b\r\nContent-Disposition: form-data; filename=\"a\x01\"\r\n\r\n1\r\n--b--\r\n",
                 ERROR_INVALID, "control character 0x01"},
                {"--b\r\n" DISPOSITION "Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n",
                 ERROR_UNSUPPORTED,
                 "part 1: its Content-Transfer-Encoding is 'base64'; send the bytes of the file as they "
                 "are"},
                {"--b\r\n" DISPOSITION "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
                 ERROR_UNSUPPORTED, "part 1: it is 'multipart/mixed', a multipart inside of a part"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct error error;

                ck_assert_error(parse_text(TYPE, bad[i].body, &error), bad[i].code, error, bad[i].text);
        }
}
END_TEST

START_TEST(multipart_nul_in_a_header_is_an_error) {
        static const char body[] =
                "--b\r\nContent-Disposition: form-data; filename=\"a\0b\"\r\n\r\n1\r\n--b--\r\n";
        struct error error;

        ck_assert_error(parse(TYPE, body, sizeof(body) - 1, &error), ERROR_INVALID, error,
                        "control character 0x00");
}
END_TEST

START_TEST(multipart_clear_cases_are_taken) {
        static const char *const good[] = {
                "--b--",
                "--b--\r\n",
                PART "--b--\n",
                "--b\r\n" DISPOSITION
                "Content-Transfer-Encoding: BINARY \r\nContent-Type: image/jpeg\r\n\r\n\r\n--b--",
                "--b\r\n" DISPOSITION "\r\n--b--",
                "--b\r\nContent-Disposition:form-data;name=a;;\r\n\r\n1\r\n--b--\r\n",
        };

        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                struct error error = ERROR_NONE;

                ck_assert_msg(parse_text(TYPE, good[i], &error) == 0, "%zu: %s", i, error.text);
        }
}
END_TEST

/* The filename of a part with this disposition. */
static void check_filename(const char *parameters, const char *wanted) {
        _cleanup_(multipart_freep) struct multipart *multipart = NULL;
        struct error error = ERROR_NONE;
        char body[512];
        int n = snprintf(body, sizeof(body),
                         "--b\r\nContent-Disposition: form-data; %s\r\n\r\n1\r\n--b--\r\n", parameters);

        ck_assert_msg(multipart_parse(&multipart, TYPE, body, (size_t)n, &error) == 0, "%s", error.text);
        if (!wanted)
                ck_assert_ptr_null(multipart_part(multipart, 0)->filename);
        else
                ck_assert_str_eq(multipart_part(multipart, 0)->filename, wanted);
}

START_TEST(multipart_filenames_are_decoded_as_browsers_encode_them) {
        check_filename("name=a", NULL);
        check_filename("filename=\"\"", "");
        check_filename("filename=cat.jpg", "cat.jpg");
        check_filename("filename=\"a%22b%0d%0Ac%41%2\"", "a\"b\r\nc%41%2");
        check_filename("filename=\"C:\\cats\\a.jpg\"", "C:\\cats\\a.jpg");
        check_filename("filename=\"\xFF\xFE\"", "\xFF\xFE");
        check_filename("filename*=utf-8'en'%e2%82%ac.jpg", "\xE2\x82\xAC.jpg");
        check_filename("filename*=utf-8''x; filename=y", "y");
        check_filename("filename*=utf-8''%00", "");
        check_filename("filename*=utf-8''a%00b", "");
        check_filename("filename*=utf-8''%f", "");
        check_filename("filename*=utf-8''%ff", "");
        check_filename("filename*=utf-8'x", "");
        check_filename("filename*=iso-8859-1''%e4", "");
        check_filename("filename*=", "");
}
END_TEST

/* n times text, then more; freed by the caller. */
static char *repeated(const char *text, size_t n, const char *more, size_t *ret_size) {
        size_t text_size = strlen(text), size = n * text_size;
        char *body = malloc(size + strlen(more) + 1);

        ck_assert_ptr_nonnull(body);
        for (size_t i = 0; i < n; i++)
                memcpy(body + i * text_size, text, text_size);
        memcpy(body + size, more, strlen(more) + 1);
        *ret_size = size + strlen(more);
        return body;
}

START_TEST(multipart_number_of_parts_is_limited) {
        size_t size;
        _cleanup_(freep) char *most = repeated(PART, MULTIPART_MAX_PARTS, "--b--\r\n", &size);
        _cleanup_(freep) char *many = NULL;
        struct error error;

        ck_assert_int_eq(parse(TYPE, most, size, NULL), 0);
        many = repeated(PART, 10000, "--b--\r\n", &size);
        ck_assert_error(parse(TYPE, many, size, &error), ERROR_LIMIT, error,
                        "more than 256 parts; spread them over several requests");
}
END_TEST

START_TEST(multipart_headers_of_a_part_are_limited) {
        static const char head[] = "--b\r\n" DISPOSITION "X: ", tail[] = "\r\n\r\n1\r\n--b--\r\n";
        size_t room = MULTIPART_MAX_HEADER_BYTES - (sizeof(DISPOSITION "X: ") - 1);
        _cleanup_(freep) char *body = malloc(sizeof(head) + room + 1 + sizeof(tail));

        for (size_t over = 0; over < 2; over++) {
                size_t size = sizeof(head) - 1;
                struct error error = ERROR_NONE;
                int r;

                memcpy(body, head, size);
                memset(body + size, 'x', room + over);
                size += room + over;
                memcpy(body + size, tail, sizeof(tail) - 1);
                size += sizeof(tail) - 1;
                r = parse(TYPE, body, size, &error);
                if (over)
                        ck_assert_error(r, ERROR_LIMIT, error, "within the limit of 4096 bytes");
                else
                        ck_assert_msg(r == 0, "%s", error.text);
        }
}
END_TEST

/* AddressSanitizer looks at all the rest of the body at each memmem(), and is quadratic itself. */
#if defined(__SANITIZE_ADDRESS__)
#define HOSTILE_BYTES ((size_t)256 << 10)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOSTILE_BYTES ((size_t)256 << 10)
#endif
#endif
#ifndef HOSTILE_BYTES
#define HOSTILE_BYTES ((size_t)16 << 20)
#endif

/* Bodies that look like a delimiter at every step. Anything quadratic would run for hours into the test's
 * time limit. */
START_TEST(multipart_time_is_linear_in_hostile_bodies) {
        static const char long_type[] =
                "multipart/form-data; "
                "boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
        static const struct {
                const char *content_type, *piece;
        } hostile[] = {
                {TYPE, "\r\n--"},
                {TYPE, "\r\n--b "},
                {TYPE, "\r\n--b--x"},
                {TYPE, "\r\n--bx"},
                {TYPE, " "},
                {TYPE, "\r\n"},
                {long_type, "a"},
                {long_type, "\r\n--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
                _cleanup_(freep) char *body = NULL;
                size_t size;

                body = repeated(hostile[i].piece, HOSTILE_BYTES / strlen(hostile[i].piece), "", &size);
                ck_assert_int_eq(parse(hostile[i].content_type, body, size, NULL), ERROR_INVALID);
        }
        for (size_t i = 0; i < 2; i++) {
                size_t size;
                _cleanup_(freep) char *body =
                        repeated(i ? " " : "%22\\\"", i ? HOSTILE_BYTES : 700, "", &size);
                _cleanup_(freep) char *form = malloc(size + 128);

                size = (size_t)sprintf(form,
                                       i ? PART "--b%s\r\n"
                                         : "--b\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n",
                                       body);
                ck_assert_int_eq(parse(TYPE, form, size, NULL), ERROR_INVALID);
        }
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("multipart");

        tcase_add_test(tests, multipart_takes_what_clients_send);
        tcase_add_test(tests, multipart_cut_anywhere_is_an_error);
        tcase_add_test(tests, multipart_content_type_errors_say_what_to_change);
        tcase_add_test(tests, multipart_body_errors_say_what_to_change);
        tcase_add_test(tests, multipart_nul_in_a_header_is_an_error);
        tcase_add_test(tests, multipart_clear_cases_are_taken);
        tcase_add_test(tests, multipart_filenames_are_decoded_as_browsers_encode_them);
        tcase_add_test(tests, multipart_number_of_parts_is_limited);
        tcase_add_test(tests, multipart_headers_of_a_part_are_limited);
        tcase_add_test(tests, multipart_time_is_linear_in_hostile_bodies);
        return suite_run(tests);
}
