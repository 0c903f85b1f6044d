#include "tests/bench/load/tally.h"

#include "base/macros.h"

bool tally_is_refusal(unsigned status) {
        return status == 429 || status == 503;
}

static bool within(const struct tally_options *window, uint64_t moment_ns) {
        return moment_ns >= window->start_ns && moment_ns < window->end_ns;
}

static bool counts(const struct tally *tally, uint64_t due_ns, uint64_t now_ns) {
        return within(&tally->options, tally->options.open ? due_ns : now_ns);
}

int tally_answer(struct tally *tally, const struct request *request, unsigned status, uint64_t now_ns) {
        uint64_t latency_ns = now_ns - request->first_ns;

        if (status == 200 && within(&tally->options, now_ns)) {
                tally->n_answered++;
                tally->n_in_time += latency_ns <= tally->options.deadline_ns;
        }
        if (counts(tally, request->due_ns, now_ns))
                tally->statuses[status < TALLY_MAX_STATUS ? status : 0]++;
        if (status == 200 && counts(tally, request->first_ns, now_ns)) {
                tally->max_attempts = MAX(tally->max_attempts, request->n_attempts);
                tally->n_got_through += request->n_attempts > 1;
                return samples_add(&tally->accepted, latency_ns);
        }
        if (tally_is_refusal(status) && counts(tally, request->due_ns, now_ns))
                return samples_add(&tally->refused, now_ns - request->due_ns);
        return 0;
}

void tally_broken(struct tally *tally, const struct request *request, uint64_t now_ns) {
        tally->n_broken += counts(tally, request->due_ns, now_ns);
}

void tally_unanswered(struct tally *tally, const struct request *request) {
        /* A closed loop always has one a client under way when it ends. */
        tally->n_unanswered += tally->options.open && within(&tally->options, request->due_ns);
}

void tally_release(struct tally *tally) {
        samples_release(&tally->accepted);
        samples_release(&tally->refused);
}
