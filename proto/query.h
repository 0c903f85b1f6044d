#pragma once
/*
 * query: the query string of a URL, application/x-www-form-urlencoded as the URL standard parses it: '+' is
 * a blank, a pair without '=' has the value "", empty pairs do not count, bytes that are not UTF-8 become
 * U+FFFD, and keys may come twice.
 *
 * Input is hostile: the number of pairs is bounded. Stricter than the standard in two points, because both
 * are mistakes that a client wants to hear of: '%' without two hex digits and a NUL byte are errors.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

#define QUERY_MAX_PAIRS 32u
#define QUERY_MAX_BYTES 4096u

struct query;

/* text: what follows '?', or NULL or "" for none; need not end in zero. Fails with ERROR_INVALID,
 * ERROR_LIMIT, ERROR_NO_MEMORY. */
int query_parse(struct query **ret_query, const char *text, size_t size, struct error *error);
void query_free(struct query *query);
DEFINE_CLEANUP(query)

/* Decoded, UTF-8, without a NUL inside; they live as long as the query. index < query_n_pairs(). */
size_t query_n_pairs(const struct query *query);
const char *query_key(const struct query *query, size_t index);
const char *query_value(const struct query *query, size_t index);
