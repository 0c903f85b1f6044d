#include "quantize/runner.h"

#include <stdlib.h>
#include <string.h>

struct job {
        const struct pictures *pictures;
        const struct plan *plan;
        const struct runner_visitor *visitor;
        size_t step;
        unsigned threads;
        struct run **runs; /* one a thread, and its output */
        float **outputs;
};

static void job_release(struct job *job) {
        for (unsigned i = 0; job->runs && i < job->threads; i++)
                if (job->runs[i])
                        run_free(job->runs[i]);
        for (unsigned i = 0; job->outputs && i < job->threads; i++)
                free(job->outputs[i]);
        free(job->runs);
        free(job->outputs);
}

static int run_work(void *context, unsigned thread, size_t index, struct error *error) {
        struct job *job = context;
        const unsigned char *pixels = job->pictures->pixels + index * job->step * job->pictures->image_bytes;
        int r;

        if (!job->runs[thread]) {
                r = run_new(&job->runs[thread], job->plan, error);
                if (r < 0)
                        return r;
                job->outputs[thread] = calloc(plan_output_elements(job->plan), sizeof(float));
                if (!job->outputs[thread])
                        return error_no_memory(error);
        }
        r = run_execute(job->runs[thread], pixels, job->outputs[thread], error);
        if (r < 0)
                return r;
        return job->visitor->visit(job->visitor->context, thread, index, job->runs[thread],
                                   job->outputs[thread], error);
}

int runner_run(struct model *model, const struct pictures *pictures, size_t step, bool as_defined,
               const struct parallel *parallel, const struct runner_visitor *visitor, struct error *error) {
        const struct plan_options options = {
                .batch = MAX(model_input(model).batch, (size_t)1), .threads = 1, .no_winograd = as_defined};
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(job_release) struct job job = {
                .pictures = pictures, .visitor = visitor, .step = step, .threads = parallel->threads};
        int r;

        if (options.batch != 1)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "the model takes batches of %zu images only; export it with an open batch "
                                 "axis, or for one image",
                                 options.batch);
        r = plan_new(&plan, model, &options, error);
        if (r < 0)
                return r;
        job.plan = plan;
        job.runs = calloc(parallel->threads, sizeof(struct run *));
        job.outputs = calloc(parallel->threads, sizeof(float *));
        if (!job.runs || !job.outputs)
                return error_no_memory(error);
        return parallel_run(parallel, (pictures->n + step - 1) / step, run_work, &job, error);
}

struct outputs {
        float *outputs;
        size_t n_classes;
};

static int keep_output(void *context, _unused_ unsigned thread, size_t index, _unused_ const struct run *run,
                       const float *output, _unused_ struct error *error) {
        struct outputs *outputs = context;

        memcpy(outputs->outputs + index * outputs->n_classes, output, outputs->n_classes * sizeof(*output));
        return 0;
}

int runner_outputs(float *ret_outputs, struct model *model, const struct pictures *pictures, size_t step,
                   bool as_defined, const struct parallel *parallel, struct error *error) {
        struct outputs outputs = {.outputs = ret_outputs, .n_classes = model_n_classes(model)};
        const struct runner_visitor visitor = {.visit = keep_output, .context = &outputs};

        return runner_run(model, pictures, step, as_defined, parallel, &visitor, error);
}
