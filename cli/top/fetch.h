#pragma once
/* fetch: one GET over a plain socket, within bounds of bytes and time. */
#include <stddef.h>

#include "base/error.h"
#include "cli/top/url.h"

#define FETCH_INTERRUPTED 1

struct fetch_options {
        unsigned timeout_ms; /* for connection, request and answer together; a name is looked up besides */
        size_t max_bytes;    /* of the body */
        const int *wake_fds; /* give up where one of them can be read; may be NULL */
        size_t n_wake_fds;
};

/* *ret_text is the caller's to free(); it has no terminating zero. Returns FETCH_INTERRUPTED where a wake_fd
 * could be read. Fails with ERROR_IO (no connection, no answer in time, another status than 200),
 * ERROR_INVALID (no HTTP), ERROR_LIMIT or ERROR_NO_MEMORY. */
int fetch(char **ret_text, size_t *ret_size, const struct url *url, const struct fetch_options *options,
          struct error *error);
