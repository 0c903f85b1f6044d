#pragma once
/*
 * job_queue: images in order of their order_ns, equal ones in order of arrival; a binary heap.
 *
 * Not thread safe: whoever shares a queue guards it. Jobs are borrowed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct image_job;

struct job_queue {
        struct image_job **jobs;
        size_t n_jobs, capacity;
        uint64_t next_sequence;
};

/* All zero is an empty queue. Fails with ERROR_NO_MEMORY, and leaves the queue as it was. */
int job_queue_put(struct job_queue *queue, struct image_job *job, struct error *error);

/* The first job, or NULL. */
struct image_job *job_queue_first(const struct job_queue *queue);
struct image_job *job_queue_take(struct job_queue *queue);

/* Takes out every job for which is_kept() is false; it is asked once for each, and may note those. */
void job_queue_sweep(struct job_queue *queue, bool (*is_kept)(struct image_job *job, void *argument),
                     void *argument);

/* Frees the queue's own memory. */
void job_queue_release(struct job_queue *queue);
