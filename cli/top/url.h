#pragma once
/* url: where metrics are asked for. */
#include "base/error.h"

#define URL_HOST_MAX 256u  /* with the terminating zero; a name of the DNS has 253 */
#define URL_PATH_MAX 1024u /* with the terminating zero */

struct url {
        char host[URL_HOST_MAX]; /* a name or an address, without brackets */
        char port[6];
        char authority[URL_HOST_MAX + 16]; /* for the Host header */
        char path[URL_PATH_MAX];           /* with the query */
};

/* [http://]HOST[:PORT][/PATH]. HOST is a name, an IPv4 address, an IPv6 address in brackets, or one without
 * port. The port is 8080, where saccade listens, or 80 after "http://"; the path is /metrics. Fails with
 * ERROR_INVALID. */
int url_parse(struct url *ret_url, const char *text, struct error *error);
