#include "server/ceiling.h"

#include <stdint.h>

#include "base/macros.h"
#include "engine/image/image.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/context.h"
#include "server/http.h"
#include "server/log.h"
#include "server/process_stats.h"
#include "server/registry.h"

struct ceiling {
        uint64_t loaded_bytes;     /* resident: program, weights, plans, threads */
        uint64_t body_bytes;       /* requests that are received or answered */
        uint64_t decode_bytes;     /* the largest image on each core */
        uint64_t pixel_bytes;      /* images that are decoded and wait */
        uint64_t connection_bytes; /* of all connections */
        uint64_t total_bytes;
};

/* pixel_bytes: of one decoded image. */
static struct ceiling ceiling_of(const struct server_options *options, unsigned n_cores,
                                 uint64_t loaded_bytes, size_t pixel_bytes) {
        uint64_t n_ready = MIN((uint64_t)BATCHER_ROUNDS_AHEAD * n_cores * options->max_batch + n_cores,
                               (uint64_t)options->queue_images);
        struct ceiling ceiling = {
                .loaded_bytes = loaded_bytes,
                .body_bytes = options->max_inflight_bytes,
                .decode_bytes = (uint64_t)n_cores * image_decoder_most_bytes(options->max_pixels),
                .pixel_bytes = n_ready * options->n_models * pixel_bytes,
                .connection_bytes = (uint64_t)options->max_connections * HTTP_CONNECTION_BYTES,
        };

        ceiling.total_bytes = ceiling.loaded_bytes + ceiling.body_bytes + ceiling.decode_bytes +
                              ceiling.pixel_bytes + ceiling.connection_bytes;
        return ceiling;
}

void ceiling_log(const struct context *context) {
        size_t pixel_bytes = 0;
        struct ceiling c;

        for (size_t i = 0; i < registry_n_slots(context->registry); i++) {
                struct generation *generation = registry_acquire(context->registry, i);

                if (!generation)
                        continue;
                pixel_bytes = MAX(pixel_bytes, backend_pixels_bytes(generation_backend(generation)));
                registry_release(context->registry, generation);
        }
        c = ceiling_of(&context->options, context->n_cpus, process_stats_read().resident_bytes, pixel_bytes);
        log_event(context->log, LOG_LEVEL_INFO, "memory ceiling", LOG_COUNT("total_bytes", c.total_bytes),
                  LOG_COUNT("loaded_bytes", c.loaded_bytes), LOG_COUNT("body_bytes", c.body_bytes),
                  LOG_COUNT("decode_bytes", c.decode_bytes), LOG_COUNT("pixel_bytes", c.pixel_bytes),
                  LOG_COUNT("connection_bytes", c.connection_bytes));
}
