#include "server/classify_handler.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/macros.h"
#include "proto/classify.h"
#include "proto/multipart.h"
#include "proto/query.h"
#include "server/admission.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/context.h"
#include "server/image_job.h"
#include "server/metrics.h"
#include "server/registry.h"
#include "server/request.h"
#include "server/slow_log.h"

struct classification {
        struct request *request;
        struct classify_params params;
        size_t model;                  /* the slot */
        struct generation *generation; /* what it serves; held until the answer is made */
        uint64_t deadline_ns;
        struct admission_ticket ticket;
        struct multipart *multipart;
        struct image_job *jobs;
        const char **filenames;                  /* [n_jobs] */
        struct classify_prediction *predictions; /* [n_jobs, top_k] */
        size_t n_jobs;
        atomic_size_t n_left;
};

static void drop_generation(struct classification *c) {
        if (c->generation)
                registry_release(c->request->context->registry, steal_ptr(&c->generation));
}

static void classification_free(struct classification *c) {
        admission_forget(c->request->context->admission, &c->ticket);
        for (size_t i = 0; c->jobs && i < c->n_jobs; i++)
                image_job_drop_pixels(&c->jobs[i]);
        if (c->multipart)
                multipart_free(c->multipart);
        drop_generation(c);
        free(c->jobs);
        free(c->filenames);
        free(c->predictions);
        free(c);
}

static void state_free(void *state) {
        classification_free(state);
}

/* Whether the media type (up to parameters) is type, or in type's family where that ends in '/'. */
static bool is_media_type(const char *value, const char *type) {
        size_t size = strlen(type);

        if (strncasecmp(value, type, size) != 0)
                return false;
        return type[size - 1] == '/' || value[size] == 0 || strchr("; \t", value[size]);
}

static bool is_multipart(const struct request *request) {
        return request->content_type && is_media_type(request->content_type, "multipart/form-data");
}

/* An image is told by its bytes, so most labels will do. curl --data-binary labels everything as a form. */
static bool check_content_type(struct request *request) {
        static const char *const accepted[] = {"image/", "application/octet-stream",
                                               "application/x-www-form-urlencoded", "multipart/form-data"};
        const char *type = request->content_type;

        if (!type || !*type)
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(accepted); i++)
                if (is_media_type(type, accepted[i]))
                        return true;
        request_refuse(request, PROBLEM_UNSUPPORTED_IMAGE,
                       "a body of type \"%.64s\" is not understood here; send the bytes of a JPEG file as "
                       "image/jpeg or application/octet-stream, or files as multipart/form-data",
                       type);
        return false;
}

static bool find_model(struct classification *c) {
        struct registry *registry = c->request->context->registry;

        if (*c->params.model && !registry_find(registry, c->params.model, &c->model)) {
                request_refuse(
                        c->request, PROBLEM_NOT_FOUND,
                        "there is no model \"%s\" here; GET /v1/models lists those there are, and without "
                        "\"model\" it is \"%s\"",
                        c->params.model, registry_name(registry, 0));
                return false;
        }
        c->generation = registry_acquire(registry, c->model);
        if (!c->generation)
                request_refuse(c->request, PROBLEM_NOT_READY,
                               "the model \"%s\" is not loaded now; GET /v1/models lists those that are",
                               registry_name(registry, c->model));
        return c->generation;
}

static struct backend *backend_of(const struct classification *c) {
        return generation_backend(c->generation);
}

static bool parse_params(struct classification *c) {
        _cleanup_(query_freep) struct query *query = NULL;
        struct error error = ERROR_NONE;

        if (query_parse(&query, c->request->query, strlen(c->request->query), &error) < 0 ||
            classify_params_parse(&c->params, query, &error) < 0) {
                request_refuse(c->request, PROBLEM_MALFORMED, "%s", error.text);
                return false;
        }
        return true;
}

static bool shed_unless(struct request *request, enum admission_verdict verdict) {
        if (verdict != ADMISSION_YES)
                request_shed(request,
                             verdict == ADMISSION_FULL ? METRICS_SHED_QUEUE : METRICS_SHED_DEADLINE);
        return verdict == ADMISSION_YES;
}

/* How much the body brings is what Content-Length says; without one it may be any picture. */
static bool announce(struct classification *c) {
        struct admission *admission = c->request->context->admission;
        size_t bytes = (size_t)MIN(c->request->content_length, (uint64_t)c->request->body_limit);
        struct admission_ask ask = {
                .n_images = 1,
                .cost = admission_cost(admission, c->model, c->request->has_length ? bytes : 0),
                .now_ns = clock_ns(),
                .deadline_ns = c->deadline_ns};

        return shed_unless(c->request, admission_announce(admission, &ask, &c->ticket));
}

/* All images at once: from here on each leaves on its own. */
static bool enter(struct classification *c) {
        struct admission *admission = c->request->context->admission;
        struct admission_ask ask = {
                .n_images = c->n_jobs, .now_ns = clock_ns(), .deadline_ns = c->deadline_ns};

        for (size_t i = 0; i < c->n_jobs; i++) {
                ask.cost.decode_ns += c->jobs[i].cost.decode_ns;
                ask.cost.infer_ns += c->jobs[i].cost.infer_ns;
        }
        return shed_unless(c->request, admission_enter(admission, &ask, &c->ticket));
}

/* What was entered comes to nothing. */
static void leave(struct classification *c) {
        for (size_t i = 0; i < c->n_jobs; i++) {
                admission_begin(c->request->context->admission, c->jobs[i].cost);
                admission_end(c->request->context->admission, c->jobs[i].cost);
        }
}

void classify_begin(struct request *request) {
        struct context *context = request->context;
        struct classification *c;
        unsigned timeout_ms;

        if (!check_content_type(request) || !request_check_ready(request))
                return;
        c = calloc(1, sizeof(*c));
        if (!c) {
                request_refuse(request, PROBLEM_INTERNAL, "the server is out of memory");
                return;
        }
        c->request = request;
        request->state = c;
        request->state_free = state_free;

        if (!parse_params(c) || !find_model(c))
                return;
        timeout_ms = c->params.timeout_ms > 0 ? c->params.timeout_ms : context->options.timeout_ms;
        c->deadline_ns = request->start_ns + (uint64_t)timeout_ms * 1000000u;
        announce(c);
}

static double ms_between(uint64_t from_ns, uint64_t to_ns) {
        return to_ns > from_ns ? clock_ms_between(from_ns, to_ns) : 0;
}

/* Stages join without gaps: what is neither receiving, decoding nor inferring is waiting. */
static struct classify_latency latency_of(const struct image_job *job, const struct request *request,
                                          uint64_t end_ns) {
        struct classify_latency latency = {
                .receive_ms = ms_between(request->start_ns, request->received_ns),
                .decode_ms = ms_between(job->decode_start_ns, job->decode_end_ns),
                .infer_ms = job->infer_start_ns > 0 ? ms_between(job->infer_start_ns, job->infer_end_ns) : 0,
                .total_ms = ms_between(request->start_ns, end_ns),
        };

        latency.queue_ms =
                MAX(latency.total_ms - latency.receive_ms - latency.decode_ms - latency.infer_ms, 0);
        return latency;
}

static void answer(struct classification *c, const struct image_job *last, struct classify_latency latency) {
        const struct request *request = c->request;
        const struct model *model = backend_model(backend_of(c));
        _cleanup_(freep) struct classify_result *results = calloc(c->n_jobs, sizeof(*results));
        _cleanup_(freep) char(*ids)[24] = calloc(c->n_jobs, sizeof(*ids));
        struct classify_answer message = {
                .id = request->id,
                .model_name = model_name(model),
                .model_version = model_version(model),
                .model_precision = model_precision(model),
                .results = results,
                .n_results = c->n_jobs,
                .latency = latency,
                .batch_size = last->batch_size,
        };
        char *text;
        size_t size;

        if (!results || !ids) {
                request_refuse(c->request, PROBLEM_INTERNAL, "the server is out of memory");
                return;
        }
        for (size_t i = 0; i < c->n_jobs; i++) {
                const struct image_job *job = &c->jobs[i];

                snprintf(ids[i], sizeof(ids[i]), "%zu", i);
                results[i] = (struct classify_result){
                        .id = ids[i],
                        .filename = c->filenames[i],
                        .width = job->width,
                        .height = job->height,
                        .predictions = job->predictions,
                        .n_predictions = job->n_predictions,
                        .problem = job->outcome == METRICS_OUTCOME_OK ? NULL : &job->problem,
                };
        }
        if (classify_answer_to_json(&text, &size, &message, NULL) < 0)
                request_refuse(c->request, PROBLEM_INTERNAL, "the server is out of memory");
        else
                reply_own(&c->request->reply, 200, "application/json", text, size);
}

static uint64_t ms_to_ns(double ms) {
        return (uint64_t)(ms * 1e6);
}

static void observe_job(const struct request *request, const struct image_job *job,
                        struct classify_latency latency) {
        struct metrics *metrics = request->context->metrics;
        struct exemplar_labels exemplar = request_exemplar(request);

        metrics_image(metrics, job->model, job->outcome);
        if (job->decode_start_ns > 0)
                metrics_stage_duration(metrics, job->model, METRICS_STAGE_DECODE,
                                       ms_to_ns(latency.decode_ms), &exemplar);
        if (job->infer_start_ns > 0) {
                metrics_stage_duration(metrics, job->model, METRICS_STAGE_INFER, ms_to_ns(latency.infer_ms),
                                       &exemplar);
                metrics_stage_duration(metrics, job->model, METRICS_STAGE_QUEUE, ms_to_ns(latency.queue_ms),
                                       &exemplar);
        }
}

/* The stages of the whole request. latency: without encoding. */
static void observe_request(const struct classification *c, const struct image_job *last,
                            struct classify_latency latency, double encode_ms) {
        const struct request *request = c->request;
        struct metrics *metrics = request->context->metrics;
        struct exemplar_labels exemplar = request_exemplar(request);

        latency.total_ms += encode_ms;
        metrics_stage_duration(metrics, c->model, METRICS_STAGE_RECEIVE, ms_to_ns(latency.receive_ms),
                               &exemplar);
        metrics_stage_duration(metrics, c->model, METRICS_STAGE_ENCODE, ms_to_ns(encode_ms), &exemplar);
        metrics_stage_duration(metrics, c->model, METRICS_STAGE_TOTAL, ms_to_ns(latency.total_ms),
                               &exemplar);
        slow_log_consider(
                request->context->slow_log,
                &(struct slow_request){.id = request->id,
                                       .traceparent = request->traceparent,
                                       .model = registry_name(request->context->registry, c->model),
                                       .status = request->reply.status,
                                       .latency = latency,
                                       .encode_ms = encode_ms,
                                       .n_images = c->n_jobs,
                                       .batch_size = last->batch_size,
                                       .width = last->width,
                                       .height = last->height,
                                       .body_bytes = request->body_size});
}

/* The last image is done, on whatever thread. */
static void finish(struct classification *c, const struct image_job *last, uint64_t end_ns) {
        struct request *request = c->request;
        struct classify_latency latency = latency_of(last, request, end_ns);
        double encode_ms;

        if (c->n_jobs == 1 && last->outcome != METRICS_OUTCOME_OK) {
                struct problem problem = last->problem;

                problem.instance = request->id;
                reply_problem(&request->reply, &problem);
        } else
                answer(c, last, latency);
        drop_generation(c);

        encode_ms = ms_between(end_ns, clock_ns());
        reply_header(&request->reply, "Server-Timing",
                     "receive;dur=%.3f, decode;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f, encode;dur=%.3f, "
                     "total;dur=%.3f",
                     latency.receive_ms, latency.decode_ms, latency.queue_ms, latency.infer_ms, encode_ms,
                     latency.total_ms + encode_ms);
        observe_request(c, last, latency, encode_ms);
        request_resume(request);
}

static void job_dequeued(struct image_job *job) {
        struct classification *c = job->owner;

        admission_begin(c->request->context->admission, job->cost);
}

static void job_done(struct image_job *job) {
        struct classification *c = job->owner;
        /* The moment at which this image's last stage ended, not at which its turn to be counted came. */
        uint64_t end_ns = job->infer_start_ns > 0 ? job->infer_end_ns : clock_ns();

        image_job_drop_pixels(job);
        admission_end(c->request->context->admission, job->cost);
        observe_job(c->request, job, latency_of(job, c->request, end_ns));
        if (atomic_fetch_sub_explicit(&c->n_left, 1, memory_order_acq_rel) == 1)
                finish(c, job, end_ns);
}

static const struct image_job_ops job_ops = {.dequeued = job_dequeued, .done = job_done};

static bool add_job(struct classification *c, const unsigned char *bytes, size_t size,
                    const char *filename) {
        struct context *context = c->request->context;
        size_t i = c->n_jobs++;
        struct admission_cost cost = admission_cost(context->admission, c->model, size);

        c->filenames[i] = filename;
        c->jobs[i] = (struct image_job){
                .ops = &job_ops,
                .owner = c,
                .gone = &c->request->gone,
                .stopping = &context->cancelled,
                .bytes = bytes,
                .size = size,
                .model = c->model,
                .backend = backend_of(c),
                .top_k = c->params.top_k,
                .deadline_ns = c->deadline_ns,
                /* As if each were asked for once the one before it is done: others take turns with them. */
                .order_ns = c->deadline_ns + i * (cost.decode_ns + cost.infer_ns) / context->n_cpus,
                .cost = cost,
                .predictions = c->predictions + i * c->params.top_k,
                .queued_ns = c->request->received_ns,
        };
        return true;
}

/* Room for n images. */
static bool reserve_jobs(struct classification *c, size_t n) {
        size_t n_classes = model_n_classes(backend_model(backend_of(c)));
        size_t n_predictions;

        c->params.top_k = MIN(c->params.top_k, n_classes);
        c->jobs = calloc(n, sizeof(*c->jobs));
        c->filenames = calloc(n, sizeof(*c->filenames));
        if (size_multiply(&n_predictions, n, MAX(c->params.top_k, (size_t)1)))
                c->predictions = calloc(n_predictions, sizeof(*c->predictions));
        if (!c->jobs || !c->filenames || !c->predictions) {
                request_refuse(c->request, PROBLEM_INTERNAL, "the server is out of memory");
                return false;
        }
        return true;
}

static bool collect_parts(struct classification *c) {
        struct request *request = c->request;
        struct error error = ERROR_NONE;
        size_t n_files = 0, n_parts;
        int r;

        r = multipart_parse(&c->multipart, request->content_type, request->body ? (void *)request->body : "",
                            request->body_size, &error);
        if (r < 0) {
                request_refuse(request, r == ERROR_LIMIT ? PROBLEM_TOO_LARGE : PROBLEM_MALFORMED, "%s",
                               error.text);
                return false;
        }
        n_parts = multipart_n_parts(c->multipart);
        for (size_t i = 0; i < n_parts; i++)
                n_files += multipart_part(c->multipart, i)->filename != NULL;
        if (n_files == 0) {
                request_refuse(request, PROBLEM_MALFORMED,
                               "none of the %zu parts is a file; give the image a filename, as in curl -F "
                               "image=@cat.jpg",
                               n_parts);
                return false;
        }
        if (n_files > request->context->options.max_images) {
                request_refuse(request, PROBLEM_TOO_LARGE,
                               "%zu images are more than the limit of %zu for one request; send several "
                               "requests",
                               n_files, request->context->options.max_images);
                return false;
        }
        if (!reserve_jobs(c, n_files))
                return false;
        for (size_t i = 0; i < n_parts; i++) {
                const struct multipart_part *part = multipart_part(c->multipart, i);

                if (part->filename)
                        add_job(c, part->bytes, part->size, part->filename);
        }
        return true;
}

static bool collect_body(struct classification *c) {
        if (!reserve_jobs(c, 1))
                return false;
        return add_job(c, c->request->body, c->request->body_size, NULL);
}

void classify_complete(struct request *request) {
        struct classification *c = request->state;
        struct batcher *batcher = request->context->batcher;
        size_t n;

        if (request->body_size == 0) {
                request_refuse(request, PROBLEM_MALFORMED,
                               "the body is empty; send the bytes of an image, as in curl --data-binary "
                               "@cat.jpg");
                return;
        }
        if (!(is_multipart(request) ? collect_parts(c) : collect_body(c)))
                return;

        n = request->n_images = c->n_jobs;
        atomic_init(&c->n_left, n);
        if (!enter(c))
                return;
        if (!request_suspend(request)) {
                leave(c);
                return;
        }
        /* The request may be answered and gone as soon as its last image is submitted. */
        for (size_t i = 0; i < n; i++)
                batcher_submit(batcher, &c->jobs[i]);
}
