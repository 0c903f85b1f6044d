#pragma once
/* listen: "HOST:PORT" taken apart. */
#include <stdint.h>

#include "base/error.h"

#define LISTEN_HOST_MAX 64u /* bytes with the terminating zero; the longest IPv6 address has 46 */

/* HOST is an IPv4 address, an IPv6 address in brackets, or "localhost" (127.0.0.1). Fails with
 * ERROR_INVALID. */
int listen_parse(char ret_host[LISTEN_HOST_MAX], uint16_t *ret_port, const char *text, struct error *error);
