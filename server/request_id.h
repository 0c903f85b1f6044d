#pragma once
/* request_id: the name of a request, taken from the client where it is harmless, or made. Thread safe. */
#include <stdbool.h>

#define REQUEST_ID_MAX   64u /* bytes */
#define TRACEPARENT_SIZE 55u /* W3C Trace Context, version 00: 2 + 32 + 16 + 2 hex digits and three '-' */

#define TRACE_ID_SIZE    32u /* hexadecimal digits within it */

/* Letters, digits, and "-_.:/+=@" only, 1 to REQUEST_ID_MAX of them. */
bool request_id_is_valid(const char *text);

/* A ULID: 48 bits of milliseconds and 80 random bits in Crockford's base 32, so that names sort by time. */
#define REQUEST_ID_MADE_SIZE 26u
void request_id_make(char ret_id[REQUEST_ID_MADE_SIZE + 1]);

/* Whether text is a traceparent of version 00 with nonzero ids (section 3.2.2.3). */
bool traceparent_is_valid(const char *text);

/* The trace-id within a valid traceparent. */
void traceparent_trace_id(char ret_id[TRACE_ID_SIZE + 1], const char *traceparent);
