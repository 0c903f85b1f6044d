#pragma once
/*
 * requests: what is still to be sent, earliest first; equal moments in the order in which they were put.
 *
 * Not thread safe. A retry is the same request again with another due_ns.
 */
#include <stddef.h>
#include <stdint.h>

struct request {
        uint64_t first_ns; /* when it should have been sent for the first time: its latency counts from here
                            */
        uint64_t due_ns;   /* when this attempt should be sent */
        uint64_t sequence; /* the queue's */
        size_t body;       /* index */
        unsigned n_attempts;
};

struct requests {
        struct request *heap;
        size_t n, capacity;
        uint64_t next_sequence;
};

/* Fails with ERROR_NO_MEMORY. */
int requests_put(struct requests *requests, const struct request *request);

/* When the first is due; UINT64_MAX where there is none. */
uint64_t requests_due_ns(const struct requests *requests);

/* The first; there must be one. */
struct request requests_take(struct requests *requests);

void requests_release(struct requests *requests);
