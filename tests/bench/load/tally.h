#pragma once
/*
 * tally: what became of requests, counted.
 *
 * An open loop counts what was due within the window, whenever it was answered: what is late must not drop
 * out. A closed loop counts what was answered within it. Throughput and goodput count answers within the
 * window in both.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/load/requests.h"
#include "tests/bench/load/samples.h"

#define TALLY_MAX_STATUS 600u

struct tally_options {
        bool open;
        uint64_t start_ns, end_ns; /* the window */
        uint64_t deadline_ns;      /* from the first scheduled moment; UINT64_MAX: none */
};

struct tally {
        struct tally_options options;
        size_t statuses[TALLY_MAX_STATUS]; /* of attempts; [0] is anything else */
        size_t n_broken, n_unanswered;
        size_t n_answered, n_in_time; /* status 200 within the window, and of these before the deadline */
        size_t n_got_through;         /* 200 after at least one refusal */
        unsigned max_attempts;        /* of those that were accepted */
        struct samples accepted;      /* 200: from the first scheduled moment */
        struct samples refused;       /* 429 and 503: from when this attempt was due */
};

/* Whether the server said that it would not, rather than that something failed. */
bool tally_is_refusal(unsigned status);

/* Fails with ERROR_NO_MEMORY. */
int tally_answer(struct tally *tally, const struct request *request, unsigned status, uint64_t now_ns);
void tally_broken(struct tally *tally, const struct request *request, uint64_t now_ns);
void tally_unanswered(struct tally *tally, const struct request *request);

void tally_release(struct tally *tally);
