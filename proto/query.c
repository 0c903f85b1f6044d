#include "proto/query.h"

#include <stdlib.h>
#include <string.h>

#include "proto/percent.h"
#include "proto/utf8.h"

struct pair {
        const char *key, *value; /* in text */
};

struct query {
        size_t n_pairs;
        struct pair pairs[QUERY_MAX_PAIRS];
        char text[]; /* keys and values, each with its zero */
};

/* Undoes '+' and '%XX'; to has room for size bytes. */
static int decode(char *to, size_t *ret_size, const char *text, size_t size, struct error *error) {
        size_t n = 0;

        for (size_t i = 0; i < size; i++) {
                char c = text[i];

                if (c == '+')
                        c = ' ';
                else if (c == '%') {
                        int byte = percent_byte(text + i + 1, size - i - 1);

                        if (byte < 0)
                                return error_set(error, ERROR_INVALID,
                                                 "the query string has '%%' without two hexadecimal digits "
                                                 "after it, at byte %zu of '%.*s'; write a per cent sign "
                                                 "itself as %%25",
                                                 i, (int)utf8_prefix(text, size, 64), text);
                        c = (char)byte;
                        i += 2;
                }
                if (c == 0)
                        return error_set(error, ERROR_INVALID,
                                         "the query string has a NUL byte (%%00); remove it");
                to[n++] = c;
        }
        *ret_size = n;
        return 0;
}

/* Decodes one key or value to *cursor, and moves that behind its terminating zero. */
static int take(const char **ret_text, char **cursor, const char *text, size_t size, struct error *error) {
        char bytes[QUERY_MAX_BYTES];
        size_t n = 0;
        int r;

        r = decode(bytes, &n, text, size, error);
        if (r < 0)
                return r;
        n = utf8_repair(*cursor, bytes, n);
        (*cursor)[n] = 0;
        *ret_text = *cursor;
        *cursor += n + 1;
        return 0;
}

int query_parse(struct query **ret_query, const char *text, size_t size, struct error *error) {
        _cleanup_(query_freep) struct query *query = NULL;
        char *cursor;
        int r;

        if (!text)
                size = 0;
        if (size > QUERY_MAX_BYTES)
                return error_set(error, ERROR_LIMIT,
                                 "the query string has %zu bytes, the limit is %u; leave out what is not a "
                                 "parameter of this server",
                                 size, QUERY_MAX_BYTES);

        /* Every key and every value adds its zero. */
        query = malloc(sizeof(*query) + (size_t)UTF8_REPAIR_FACTOR * size + 2 * (size_t)QUERY_MAX_PAIRS);
        if (!query)
                return error_no_memory(error);
        query->n_pairs = 0;
        cursor = query->text;

        for (size_t start = 0, end; start < size; start = end + 1) {
                const char *stop = memchr(text + start, '&', size - start), *equals;
                size_t key_size, value_size;
                struct pair *pair;

                end = stop ? (size_t)(stop - text) : size;
                if (end == start)
                        continue;
                if (query->n_pairs == QUERY_MAX_PAIRS)
                        return error_set(
                                error, ERROR_LIMIT,
                                "the query string has more than %u parameters; leave out what is not "
                                "a parameter of this server",
                                QUERY_MAX_PAIRS);
                pair = &query->pairs[query->n_pairs++];
                equals = memchr(text + start, '=', end - start);
                key_size = equals ? (size_t)(equals - text) - start : end - start;
                value_size = equals ? end - start - key_size - 1 : 0;
                r = take(&pair->key, &cursor, text + start, key_size, error);
                if (r < 0)
                        return r;
                r = take(&pair->value, &cursor, text + end - value_size, value_size, error);
                if (r < 0)
                        return r;
        }

        *ret_query = steal_ptr(&query);
        return 0;
}

void query_free(struct query *query) {
        free(query);
}

size_t query_n_pairs(const struct query *query) {
        return query->n_pairs;
}

const char *query_key(const struct query *query, size_t index) {
        return query->pairs[index].key;
}

const char *query_value(const struct query *query, size_t index) {
        return query->pairs[index].value;
}
