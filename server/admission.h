#pragma once
/*
 * admission: places in the queue, memory for bodies, and how long a new image would wait.
 *
 * At the headers a request asks whether it could be answered in time: the work that is queued, what others
 * have announced, and its own, by the costs that are measured, over the cores. What is announced by headers
 * counts for ADMISSION_RESERVE_MS; a body that takes longer holds nobody up, and is asked again when it is
 * complete. Only then it takes places in the queue: a slow sender has none.
 * Nothing waits here. Thread safe; a lock that is held for some tens of instructions.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

struct admission;

#define ADMISSION_RESERVE_MS 1024u

struct admission_options {
        size_t queue_images; /* places */
        size_t body_bytes;   /* memory that bodies in flight may hold together */
        unsigned cores;
        size_t n_models;
};

/* Fails with ERROR_NO_MEMORY. */
int admission_new(struct admission **ret_admission, const struct admission_options *options,
                  struct error *error);
void admission_free(struct admission *admission);
DEFINE_CLEANUP(admission)

void admission_set_cores(struct admission *admission, unsigned cores);

/* Memory for a body: takes bytes, or none and returns false. */
bool admission_hold(struct admission *admission, size_t bytes);
void admission_release(struct admission *admission, size_t bytes);

/* ---- what images cost ---- */

/* An image of bytes took so long to decode: moving averages (1/16 of each new value) of time and size. */
void admission_observe_decode(struct admission *admission, size_t bytes, uint64_t ns);

/* What an image of this model costs from now on. */
void admission_set_infer(struct admission *admission, size_t model, uint64_t image_ns);

/* CPU time of one image. bytes: of its file, 0: not known. */
struct admission_cost {
        uint64_t decode_ns, infer_ns;
};
struct admission_cost admission_cost(struct admission *admission, size_t model, size_t bytes);

/* ---- requests ---- */

enum admission_verdict {
        ADMISSION_YES,
        ADMISSION_FULL, /* not so many places are left */
        ADMISSION_LATE, /* it could not be answered in time */
};

struct admission_ask {
        size_t n_images;
        struct admission_cost cost; /* of all images together */
        uint64_t now_ns, deadline_ns;
};

/* What a request holds; all zero holds nothing. */
struct admission_ticket {
        uint64_t announced_ns, period;
};

/* At the headers. Fills *ticket where the verdict is yes. */
enum admission_verdict admission_announce(struct admission *admission, const struct admission_ask *ask,
                                          struct admission_ticket *ticket);

/* Takes back what was announced; nothing where that is done, or has lapsed. */
void admission_forget(struct admission *admission, struct admission_ticket *ticket);

/* The body is complete: forgets the ticket and, where the verdict is yes, takes places and adds the work of
 * all images, which admission_begin() and admission_end() take away again one by one. */
enum admission_verdict admission_enter(struct admission *admission, const struct admission_ask *ask,
                                       struct admission_ticket *ticket);

/* An image leaves its place, to run or for good; and it is done. Each once, in this order, with its cost. */
void admission_begin(struct admission *admission, struct admission_cost cost);
void admission_end(struct admission *admission, struct admission_cost cost);

/* ---- for operators ---- */

size_t admission_images(struct admission *admission); /* that hold places */

/* How long an image admitted now waits. Seconds. */
double admission_wait_s(struct admission *admission);

/* For Retry-After: when what is queued now will be done, rounded up, at least 1 s. */
unsigned admission_retry_after_s(struct admission *admission);
