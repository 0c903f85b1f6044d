#include "server/decode.h"

#include <stdlib.h>

#include "base/clock.h"
#include "server/image_job.h"

static void fail_job(struct image_job *job, int code, const char *text) {
        switch (code) {
        case ERROR_UNSUPPORTED:
                job->outcome = METRICS_OUTCOME_UNSUPPORTED;
                problem_set(&job->problem, PROBLEM_UNSUPPORTED_IMAGE, "%s", text);
                break;
        case ERROR_INVALID:
                job->outcome = METRICS_OUTCOME_BROKEN;
                problem_set(&job->problem, PROBLEM_BROKEN_IMAGE, "%s", text);
                break;
        case ERROR_LIMIT:
                job->outcome = METRICS_OUTCOME_LIMIT;
                problem_set(&job->problem, PROBLEM_IMAGE_LIMIT, "%s", text);
                break;
        default:
                job->outcome = METRICS_OUTCOME_INTERNAL;
                problem_set(&job->problem, PROBLEM_INTERNAL, "decoding failed: %s", text);
        }
}

static int decode(struct image_decoder *decoder, const struct preprocess *preprocess,
                  const struct image_options *options, struct image_job *job, struct error *error) {
        struct image_info info;
        int r;

        job->pixels = malloc(preprocess->crop_width * preprocess->crop_height * 3);
        if (!job->pixels)
                return error_no_memory(error);
        r = image_decode(decoder, job->pixels, preprocess, options, job->bytes, job->size, &info, error);
        if (r < 0)
                return r;
        job->width = info.width;
        job->height = info.height;
        return 0;
}

bool decode_job(struct image_decoder *decoder, const struct preprocess *preprocess,
                const struct image_options *options, struct image_job *job) {
        struct error error = ERROR_NONE;
        int r;

        job->decode_start_ns = clock_ns();
        r = decode(decoder, preprocess, options, job, &error);
        job->decode_end_ns = clock_ns();
        if (r < 0)
                fail_job(job, r, error.text);
        return r >= 0;
}
