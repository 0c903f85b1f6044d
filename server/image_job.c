#include "server/image_job.h"

#include <stdlib.h>

static bool is_set(const atomic_bool *flag) {
        return flag && atomic_load_explicit(flag, memory_order_relaxed);
}

bool image_job_dropped(struct image_job *job, uint64_t now_ns) {
        if (is_set(job->gone) || is_set(job->stopping)) {
                job->outcome = METRICS_OUTCOME_CANCELLED;
                problem_set(&job->problem, PROBLEM_NOT_READY,
                            "the server stopped before it could answer; send the request again");
                return true;
        }
        if (now_ns > job->deadline_ns) {
                job->outcome = METRICS_OUTCOME_DEADLINE;
                problem_set(&job->problem, PROBLEM_DEADLINE,
                            "the deadline passed while the image waited; give a larger timeout_ms or send "
                            "fewer requests at once");
                return true;
        }
        return false;
}

void image_job_drop_pixels(struct image_job *job) {
        free(job->pixels);
        job->pixels = NULL;
}

void image_job_finish(struct image_job *job) {
        job->ops->dequeued(job);
        job->ops->done(job);
}
