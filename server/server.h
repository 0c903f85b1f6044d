#pragma once
/*
 * server: HTTP in front of the engine: admission, decode pool, batcher, workers, metrics, lifecycle.
 *
 * server_run() is the whole life of the server: it listens, loads the models (readiness is 503 until they
 * are warm), serves until SIGTERM or SIGINT, drains, and returns. On SIGHUP it loads all models again,
 * beside those that it serves. One server a process: it takes over these signals.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/model.h"
#include "engine/tuner.h"

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct server_model {
        const char *name;                  /* NULL: see model_open() */
        const char *path;                  /* NULL: source */
        const struct model_source *source; /* the embedded model; borrowed */
};

struct server_options {
        const char *host;      /* address to listen at: IPv4 or IPv6, "0.0.0.0", "::" */
        uint16_t port;         /* 0: a free one */
        const char *port_file; /* gets the port number in decimal and a newline, once listening; or NULL */

        const struct server_model *models; /* the first one is the default of requests that name none */
        size_t n_models;
        bool model_control; /* clients may load and unload them: POST /v2/repository/... */

        unsigned threads;       /* CPUs for inference; 0: cpu_count() */
        bool elastic;           /* an image that is alone gets all CPUs; else each image gets one */
        enum tune_effort tune;  /* what is measured beside serving, once it is ready */
        const char *tune_cache; /* directory where that is kept; NULL: nowhere */
        bool no_winograd;       /* see struct plan_options */
        enum precision precision;
        unsigned http_threads;   /* 0: chosen */
        size_t max_batch;        /* images; 1 turns batching off */
        unsigned batch_delay_ms; /* how long a free worker may wait for more images; 0: never */
        size_t queue_images;     /* images decoded or waiting to be; beyond it: 429 */
        size_t max_connections;
        size_t max_body_bytes;
        size_t max_inflight_bytes; /* memory for the bodies of all requests together; no less than one body
                                    */
        size_t max_pixels;         /* of one image */
        size_t max_images;         /* of one request */
        bool exact_decode;         /* no DCT scaling */
        unsigned timeout_ms;       /* deadline of a request that names none */
        unsigned idle_timeout_s;   /* of a connection */
        unsigned read_timeout_s;   /* from the first byte of a request to its last: then 408 */
        unsigned drain_delay_ms;   /* after SIGTERM: readiness is 503 but connections are still taken */
        unsigned drain_timeout_ms; /* then what is in flight has this long */

        enum log_format log_format;
        enum log_level log_level;
        unsigned slow_log_ms; /* classifications that take longer are logged with their stages; 0: none */
};

/* The defaults of every field; no models. */
extern const struct server_options SERVER_OPTIONS_DEFAULT;

/* Returns 0 after a complete drain. Fails with ERROR_IO (address in use, ...), the errors of model_open(),
 * or ERROR_LIMIT where the drain timed out. */
int server_run(const struct server_options *options, struct error *error);
