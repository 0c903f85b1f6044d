#include "server/info_handlers.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <string.h>

#include "proto/contract.h"
#include "server/admission.h"
#include "server/batcher.h"
#include "server/context.h"
#include "server/metrics.h"
#include "server/page.h"
#include "server/request.h"

static void reply_ok(struct request *request) {
        static const char text[] = "{\"status\":\"ok\"}\n";

        reply_borrow(&request->reply, 200, "application/json", text, sizeof(text) - 1);
        reply_header(&request->reply, "Cache-Control", "no-store");
}

void info_livez(struct request *request) {
        reply_ok(request);
}

void info_readyz(struct request *request) {
        struct context *context = request->context;

        if (atomic_load(&context->draining))
                request_refuse(request, PROBLEM_NOT_READY,
                               "the server is draining; send requests to another one");
        else if (!atomic_load_explicit(&context->ready, memory_order_acquire))
                request_refuse(request, PROBLEM_NOT_READY, "the models are still being loaded");
        else
                reply_ok(request);
}

static struct metrics_gauges read_gauges(struct context *context) {
        struct batcher_load load = batcher_load(context->batcher);
        size_t backlog = load.waiting_images + load.expected_images;

        return (struct metrics_gauges){
                .cpus = load.cores,
                .queue_images = admission_images(context->admission),
                /* Without the one that asks. */
                .inflight_requests = atomic_load(&context->inflight_requests) - 1,
                .queue_wait_estimate_s = admission_wait_s(context->admission),
                .saturation_ratio = (double)(load.busy_cores + backlog) / (double)load.cores,
        };
}

void info_metrics(struct request *request) {
        const char *accept = MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, "Accept");
        bool openmetrics = accept && strcasestr(accept, "application/openmetrics-text");
        struct metrics_gauges gauges = read_gauges(request->context);
        char *text;
        size_t size;

        if (metrics_render(request->context->metrics, &gauges, openmetrics, &text, &size, NULL) < 0) {
                request_refuse(request, PROBLEM_INTERNAL, "the server is out of memory");
                return;
        }
        reply_own(&request->reply, 200,
                  openmetrics ? METRICS_CONTENT_TYPE_OPENMETRICS : METRICS_CONTENT_TYPE_TEXT, text, size);
        reply_header(&request->reply, "Vary", "Accept");
}

void info_openapi(struct request *request) {
        struct blob contract = contract_openapi();

        reply_borrow(&request->reply, 200, "application/json", contract.bytes, contract.size);
}

void info_page(struct request *request) {
        struct blob page = page_html();

        reply_borrow(&request->reply, 200, "text/html; charset=utf-8", page.bytes, page.size);
        /* The page is one file: its own style and script, pictures from the visitor's disk, answers from
         * here. */
        reply_header(
                &request->reply, "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob:; "
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
        reply_header(&request->reply, "Referrer-Policy", "no-referrer");
}
