#pragma once
/*
 * generator: sends requests over a bounded number of keep-alive connections and notes what comes back.
 *
 * One thread, epoll, nothing allocated for a request. A closed loop has as many requests under way as it has
 * connections; an open loop sends at moments that were decided before, and a request that finds no free
 * connection waits for one, on its own latency.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tests/bench/load/arrivals.h"
#include "tests/bench/load/bodies.h"
#include "tests/bench/load/tally.h"

struct generator_options {
        struct sockaddr_in address; /* on the loopback */
        const char *target;         /* path and query */
        const struct bodies *bodies;
        size_t body_bytes; /* bodies that are shorter are filled up with zeros, which decoders ignore */

        bool open;
        struct arrivals_options arrivals; /* of an open loop */
        size_t n_connections;             /* at most */
        unsigned n_sources; /* addresses of the loopback to connect from; 0: the system's choice */

        uint64_t warm_up_ns, window_ns;
        uint64_t grace_ns;    /* what is under way at the end has this long */
        uint64_t deadline_ns; /* UINT64_MAX: none */
        bool obey_retry_after;
        bool read_late; /* as clients that send all of a body before they look for an answer */

        uint64_t interval_ns; /* 0: none; else interval() gets the answers of each, and must not keep them */
        void (*interval)(void *context, double second, struct tally *tally);
        void *context;
};

struct generator_result {
        struct tally tally;
        size_t n_scheduled;             /* due within the window */
        size_t n_answers;               /* of any status, from the start to the end of the grace */
        size_t n_retries_left;          /* refused, and not asked again before the end */
        size_t n_connected;             /* connections opened */
        size_t n_waited_for_connection; /* requests that found none free */
        struct samples late; /* from when a request was due to when its first byte went out, where a
                                connection was free: the generator's own error */
        double cpu_s;
        bool real_time; /* the system let it go before others */
};

/* Fails with ERROR_NO_MEMORY or ERROR_IO; that a server answers wrongly or not at all is a result. */
int generator_run(struct generator_result *result, const struct generator_options *options,
                  struct error *error);
void generator_result_release(struct generator_result *result);
