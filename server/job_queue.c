#include "server/job_queue.h"

#include <stdlib.h>

#include "base/macros.h"
#include "server/image_job.h"

static bool before(const struct image_job *a, const struct image_job *b) {
        if (a->order_ns != b->order_ns)
                return a->order_ns < b->order_ns;
        return a->sequence < b->sequence;
}

/* There is room. */
static void insert(struct job_queue *queue, struct image_job *job) {
        size_t i;

        for (i = queue->n_jobs++; i > 0 && before(job, queue->jobs[(i - 1) / 2]); i = (i - 1) / 2)
                queue->jobs[i] = queue->jobs[(i - 1) / 2];
        queue->jobs[i] = job;
}

int job_queue_put(struct job_queue *queue, struct image_job *job, struct error *error) {
        if (queue->n_jobs == queue->capacity) {
                size_t capacity = MAX(queue->capacity * 2, (size_t)64);
                struct image_job **jobs = reallocarray(queue->jobs, capacity, sizeof(struct image_job *));

                if (!jobs)
                        return error_no_memory(error);
                queue->jobs = jobs;
                queue->capacity = capacity;
        }
        job->sequence = queue->next_sequence++;
        insert(queue, job);
        return 0;
}

struct image_job *job_queue_first(const struct job_queue *queue) {
        return queue->n_jobs > 0 ? queue->jobs[0] : NULL;
}

struct image_job *job_queue_take(struct job_queue *queue) {
        struct image_job *first = job_queue_first(queue), *last;
        size_t i = 0;

        if (!first)
                return NULL;
        last = queue->jobs[--queue->n_jobs];
        for (;;) {
                size_t child = 2 * i + 1;

                if (child + 1 < queue->n_jobs && before(queue->jobs[child + 1], queue->jobs[child]))
                        child++;
                if (child >= queue->n_jobs || !before(queue->jobs[child], last))
                        break;
                queue->jobs[i] = queue->jobs[child];
                i = child;
        }
        if (queue->n_jobs > 0)
                queue->jobs[i] = last;
        return first;
}

void job_queue_sweep(struct job_queue *queue, bool (*is_kept)(struct image_job *job, void *argument),
                     void *argument) {
        size_t n = queue->n_jobs;

        queue->n_jobs = 0;
        for (size_t i = 0; i < n; i++)
                if (is_kept(queue->jobs[i], argument))
                        insert(queue, queue->jobs[i]);
}

void job_queue_release(struct job_queue *queue) {
        free(queue->jobs);
        *queue = (struct job_queue){0};
}
