#pragma once
/*
 * ceiling: the most memory that the server takes, by its limits.
 *
 * What is resident once the models are loaded, plus all that requests may take together. Hot reloads are not
 * in it: while they last, a model is there twice.
 */
#include <stdint.h>

#include "server/server.h"

struct context;

struct ceiling {
        uint64_t loaded_bytes;     /* resident: program, weights, plans, threads */
        uint64_t body_bytes;       /* requests that are received or answered */
        uint64_t decode_bytes;     /* the largest image on each core */
        uint64_t pixel_bytes;      /* images that are decoded and wait */
        uint64_t connection_bytes; /* of all connections */
        uint64_t total_bytes;
};

/* pixel_bytes: of one decoded image. */
struct ceiling ceiling_of(const struct server_options *options, unsigned n_cores, uint64_t loaded_bytes,
                          size_t pixel_bytes);

/* Says it in the log, once the models are loaded. */
void ceiling_log(const struct context *context);
