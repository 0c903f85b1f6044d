#include "server/request.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "server/admission.h"
#include "server/context.h"
#include "server/metrics.h"
#include "server/route.h"

/* What a Content-Length is worth before anything has come. */
#define BODY_TRUST_BYTES ((size_t)1 << 20)
#define BODY_FIRST_BYTES ((size_t)16 << 10)

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                return (c | 0x20) - 'a' + 10;
        return -1;
}

/* In place. False at a broken escape or an escaped zero. */
static bool percent_decode(char *text) {
        char *out = text;

        for (const char *in = text; *in; in++, out++) {
                int high, low;

                *out = *in;
                if (*in != '%')
                        continue;
                high = hex_value(in[1]);
                low = high < 0 ? -1 : hex_value(in[2]);
                if (low < 0 || (high == 0 && low == 0))
                        return false;
                *out = (char)(high << 4 | low);
                in += 2;
        }
        *out = 0;
        return true;
}

struct request *request_new(struct context *context, struct MHD_Connection *mhd,
                            struct connection *connection, const char *target) {
        struct request *request;
        const char *question;

        request = calloc(1, sizeof(*request));
        if (!request)
                return NULL;
        request->target = strdup(target);
        request->path = strdup(target);
        if (!request->target || !request->path) {
                request_free(request);
                return NULL;
        }
        request->context = context;
        request->mhd = mhd;
        request->connection = connection;
        question = strchr(request->target, '?');
        request->query = question ? question + 1 : "";
        request->path[strcspn(request->path, "?")] = 0;
        if (request->path[0] != '/' || !percent_decode(request->path))
                request->path[0] = 0;
        return request;
}

void request_free(struct request *request) {
        if (request->state)
                request->state_free(request->state);
        if (request->body_capacity > 0)
                admission_release(request->context->admission, request->body_capacity);
        reply_release(&request->reply);
        free(request->body);
        free(request->target);
        free(request->path);
        free(request);
}

struct exemplar_labels request_exemplar(const struct request *request) {
        return (struct exemplar_labels){.request_id = request->id,
                                        .trace_id = *request->trace_id ? request->trace_id : NULL};
}

void request_refuse(struct request *request, enum problem_type type, const char *format, ...) {
        struct problem problem = {0};
        char detail[sizeof(problem.detail)];
        va_list args;

        va_start(args, format);
        vsnprintf(detail, sizeof(detail), format, args);
        va_end(args);
        problem_set(&problem, type, "%s", detail);
        problem.has_protocol_error = request->route && request->route->speaks_protocol;
        problem.instance = request->id;
        reply_release(&request->reply);
        reply_problem(&request->reply, &problem);
}

void request_shed(struct request *request, int reason) {
        struct context *context = request->context;
        unsigned seconds = admission_retry_after_s(context->admission);

        metrics_shed(context->metrics, (enum metrics_shed)reason);
        switch (reason) {
        case METRICS_SHED_DEADLINE:
                request_refuse(
                        request, PROBLEM_QUEUE_FULL,
                        "the queue would need %.1f s, longer than the deadline of this request; send it "
                        "again after %u s, or with a larger timeout_ms",
                        admission_wait_s(context->admission), seconds);
                break;
        case METRICS_SHED_MEMORY:
                request_refuse(
                        request, PROBLEM_QUEUE_FULL,
                        "the bodies in flight hold all the memory they may; send this again after %u s",
                        seconds);
                break;
        case METRICS_SHED_LOADING:
                seconds = 1;
                request_refuse(request, PROBLEM_NOT_READY,
                               "the models are still being loaded; /readyz tells when they are");
                break;
        default:
                request_refuse(request, PROBLEM_QUEUE_FULL,
                               "the queue is full with %zu images; send this again after %u s",
                               admission_images(context->admission), seconds);
        }
        reply_header(&request->reply, "Retry-After", "%u", seconds);
}

bool request_check_ready(struct request *request) {
        if (atomic_load_explicit(&request->context->ready, memory_order_acquire))
                return true;
        request_shed(request, METRICS_SHED_LOADING);
        return false;
}

void request_answer_json(struct request *request, int r, char *text, size_t size) {
        if (r < 0)
                request_refuse(request, PROBLEM_INTERNAL, "the server is out of memory");
        else
                reply_own(&request->reply, 200, "application/json", text, size);
}

static bool grow(struct request *request, size_t needed) {
        size_t capacity = MAX(request->body_capacity, BODY_FIRST_BYTES);
        unsigned char *body;

        if (request->body_capacity == 0 && request->has_length)
                capacity = MAX(MIN(request->content_length, (uint64_t)BODY_TRUST_BYTES), (uint64_t)1);
        while (capacity < needed)
                capacity *= 2; /* below body_limit * 2, so it does not overflow */
        if (request->has_length && needed <= request->content_length)
                capacity = MIN(capacity, MAX(request->content_length, (uint64_t)1));
        if (!admission_hold(request->context->admission, capacity - request->body_capacity)) {
                request_shed(request, METRICS_SHED_MEMORY);
                return false;
        }
        body = realloc(request->body, capacity);
        if (!body) {
                admission_release(request->context->admission, capacity - request->body_capacity);
                request_refuse(request, PROBLEM_INTERNAL, "the server is out of memory");
                return false;
        }
        request->body = body;
        request->body_capacity = capacity;
        return true;
}

bool request_append(struct request *request, const void *bytes, size_t size) {
        if (size > request->body_limit - request->body_size) {
                request_refuse(
                        request, PROBLEM_TOO_LARGE,
                        "the body is larger than the limit of %zu bytes; send a smaller image, or fewer",
                        request->body_limit);
                return false;
        }
        if (request->body_size + size > request->body_capacity && !grow(request, request->body_size + size))
                return false;
        memcpy(request->body + request->body_size, bytes, size);
        request->body_size += size;
        return true;
}

bool request_suspend(struct request *request) {
        struct context *context = request->context;

        /* Counted before the look at the flag, so that whoever sets it and then sees no count may stop the
         * library: it must not be stopped with a suspended connection. */
        atomic_fetch_add(&context->suspended_requests, 1);
        if (atomic_load(&context->cancelled)) {
                atomic_fetch_sub(&context->suspended_requests, 1);
                request_refuse(request, PROBLEM_NOT_READY, "the server stops; send this to another one");
                return false;
        }
        request->suspended = true;
        MHD_suspend_connection(request->mhd);
        return true;
}

void request_resume(struct request *request) {
        struct context *context = request->context;

        MHD_resume_connection(request->mhd);
        atomic_fetch_sub(&context->suspended_requests, 1);
}
