#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/common.h"
#include "cli/listen.h"
#include "cli/tune.h"
#include "engine/plan.h"
#include "models/embedded.h"
#include "proto/classify.h"
#include "server/server.h"

struct serve_values {
        struct server_options server;
        struct option_strings models;
        const char *config, *listen;
        char default_listen[LISTEN_HOST_MAX + 16];
        int precision;
        struct tune_values tune;
        int elastic;
        bool deterministic;
};

#define SERVER(field) offsetof(struct serve_values, server.field)

static const char *const log_formats[] = {[LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json", NULL};
static const char *const log_levels[] = {[LOG_LEVEL_ERROR] = "error",
                                         [LOG_LEVEL_WARN] = "warn",
                                         [LOG_LEVEL_INFO] = "info",
                                         [LOG_LEVEL_DEBUG] = "debug",
                                         [LOG_LEVEL_DEBUG + 1] = NULL};

static const char *const elastic_choices[] = {"on", "off", NULL};
#define ELASTIC_OFF 1

static const struct option serve_options[] = {
        {.name = "listen",
         .argument = "HOST:PORT",
         .type = OPTION_STRING,
         .offset = offsetof(struct serve_values, listen),
         .help = "address and port, such as 0.0.0.0:8080 or [::1]:8080; port 0 takes a free one"},
        {.name = "port-file",
         .argument = "FILE",
         .type = OPTION_STRING,
         .offset = SERVER(port_file),
         .help = "gets the port number once the server listens"},
        {.name = "model",
         .argument = "[NAME=]PATH",
         .type = OPTION_STRINGS,
         .offset = offsetof(struct serve_values, models),
         .help = "model.onnx or its directory; may be repeated, the first one is the default of requests",
         .default_text = "the embedded EfficientNet-Lite0"},
        {.name = "model-control",
         .type = OPTION_BOOL,
         .offset = SERVER(model_control),
         .help = "clients may load and unload models: POST /v2/repository/models/NAME/load or /unload"},
        OPTION_ROW_PRECISION(struct serve_values),
        {.name = "threads",
         .argument = "N",
         .type = OPTION_UNSIGNED,
         .max = COMMON_MAX_THREADS,
         .offset = SERVER(threads),
         .help = "CPUs to decode and classify on; 0 for all that the process may use",
         .default_text = "0"},
        {.name = "http-threads",
         .argument = "N",
         .type = OPTION_UNSIGNED,
         .max = COMMON_MAX_THREADS,
         .offset = SERVER(http_threads),
         .help = "threads for HTTP; 0 chooses",
         .default_text = "0"},
        {.name = "elastic",
         .argument = "on|off",
         .type = OPTION_ENUM,
         .choices = elastic_choices,
         .offset = offsetof(struct serve_values, elastic),
         .help = "on: an image that is alone gets all CPUs, images that have company one each; off: one "
                 "each"},
        {.name = "deterministic",
         .type = OPTION_BOOL,
         .offset = offsetof(struct serve_values, deterministic),
         .help = "the same picture gets the same answer to the last bit, whatever else is asked: no "
                 "batches, one "
                 "CPU for each image, nothing measured"},
        {.name = "max-batch",
         .argument = "N",
         .type = OPTION_COUNT,
         .min = 1,
         .max = PLAN_MAX_BATCH,
         .offset = SERVER(max_batch),
         .help = "most images that run together; 1 turns batching off"},
        {.name = "batch-delay",
         .argument = "TIME",
         .type = OPTION_MILLISECONDS,
         .max = 60000,
         .offset = SERVER(batch_delay_ms),
         .help = "how long a free worker may wait for more images"},
        {.name = "queue-images",
         .argument = "N",
         .type = OPTION_COUNT,
         .min = 1,
         .max = 1 << 20,
         .offset = SERVER(queue_images),
         .help = "images that may wait; beyond it a request is refused with 429 and Retry-After"},
        {.name = "max-connections",
         .argument = "N",
         .type = OPTION_COUNT,
         .min = 1,
         .max = 1 << 20,
         .offset = SERVER(max_connections),
         .help = "open connections"},
        {.name = "max-body",
         .argument = "SIZE",
         .type = OPTION_SIZE,
         .min = 1,
         .max = (double)(UINT64_C(4) << 30),
         .offset = SERVER(max_body_bytes),
         .help = "bytes of one request"},
        {.name = "max-inflight",
         .argument = "SIZE",
         .type = OPTION_SIZE,
         .min = 1,
         .max = (double)(UINT64_C(1) << 40),
         .offset = SERVER(max_inflight_bytes),
         .help = "memory for the bodies of all requests together"},
        {.name = "max-pixels",
         .argument = "N",
         .type = OPTION_SIZE,
         .min = 1,
         .max = (double)(UINT64_C(1) << 32),
         .offset = SERVER(max_pixels),
         .help = "width times height of one image"},
        {.name = "max-images",
         .argument = "N",
         .type = OPTION_COUNT,
         .min = 1,
         .max = 4096,
         .offset = SERVER(max_images),
         .help = "images in one request"},
        {.name = "exact",
         .type = OPTION_BOOL,
         .offset = SERVER(exact_decode),
         .help = "decode large JPEGs at full size instead of by 1/2, 1/4 or 1/8: slower, and equal to "
                 "Pillow"},
        {.name = "timeout-ms",
         .argument = "N",
         .type = OPTION_MILLISECONDS,
         .min = 1,
         .max = CLASSIFY_TIMEOUT_MS_MAX,
         .offset = SERVER(timeout_ms),
         .help = "deadline of a request that names none, after which it is answered 504"},
        {.name = "idle-timeout",
         .argument = "TIME",
         .type = OPTION_SECONDS,
         .min = 1,
         .max = 86400,
         .offset = SERVER(idle_timeout_s),
         .help = "when a connection without traffic is closed"},
        {.name = "read-timeout",
         .argument = "TIME",
         .type = OPTION_SECONDS,
         .min = 1,
         .max = 86400,
         .offset = SERVER(read_timeout_s),
         .help = "how long a request may take to arrive, after which it is answered 408"},
        {.name = "drain-delay",
         .argument = "TIME",
         .type = OPTION_MILLISECONDS,
         .max = 600000,
         .offset = SERVER(drain_delay_ms),
         .help = "after SIGTERM, how long requests are still taken while /readyz says 503"},
        {.name = "drain-timeout",
         .argument = "TIME",
         .type = OPTION_MILLISECONDS,
         .min = 1,
         .max = 3600000,
         .offset = SERVER(drain_timeout_ms),
         .help = "how long what is in flight then has to finish"},
        {.name = "log-format",
         .argument = "FORMAT",
         .type = OPTION_ENUM,
         .choices = log_formats,
         .offset = SERVER(log_format),
         .help = "of the lines on stderr"},
        {.name = "log-level",
         .argument = "LEVEL",
         .type = OPTION_ENUM,
         .choices = log_levels,
         .offset = SERVER(log_level),
         .help = "the least that is logged"},
        {.name = "slow-log",
         .argument = "TIME",
         .type = OPTION_MILLISECONDS,
         .max = 3600000,
         .offset = SERVER(slow_log_ms),
         .help = "log the stages of each classification that takes longer; 0 logs none"},
        OPTION_ROWS_TUNE(struct serve_values),
        OPTION_ROW_CONFIG(struct serve_values),
        {0},
};

static void serve_init(void *values) {
        struct serve_values *v = values;
        bool v6;

        v->server = SERVER_OPTIONS_DEFAULT;
        v->tune.effort = TUNE_FAST;
        v6 = strchr(v->server.host, ':') != NULL;
        snprintf(v->default_listen, sizeof(v->default_listen), "%s%s%s:%u", v6 ? "[" : "", v->server.host,
                 v6 ? "]" : "", v->server.port);
        v->listen = v->default_listen;
}

/* "NAME=PATH" where what stands before the first '=' can be a name; else all of it is a path. */
static int parse_model(struct server_model *ret_model, char *ret_name, const char *text,
                       struct error *error) {
        const char *equals = strchr(text, '='), *slash = strchr(text, '/');
        size_t size;

        *ret_model = (struct server_model){.path = text};
        if (!equals || (slash && slash < equals))
                return 0;
        size = (size_t)(equals - text);
        if (size == 0 || size > CLASSIFY_MODEL_NAME_MAX ||
            strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") < size)
                return error_set(
                        error, ERROR_INVALID,
                        "--model '%.200s': a name has 1 to %u letters, digits, '.', '_' or '-'; a path with "
                        "'=' is written ./%.200s",
                        text, CLASSIFY_MODEL_NAME_MAX, text);
        if (!equals[1])
                return error_set(error, ERROR_INVALID, "--model '%.200s': a path must follow '='", text);
        memcpy(ret_name, text, size);
        ret_name[size] = 0;
        ret_model->name = ret_name;
        ret_model->path = equals + 1;
        return 0;
}

struct model_list {
        struct server_model models[OPTIONS_MAX_REPEATS];
        char names[OPTIONS_MAX_REPEATS][CLASSIFY_MODEL_NAME_MAX + 1];
        struct model_source embedded;
        size_t n;
};

static int list_models(struct model_list *list, const struct option_strings *strings, struct error *error) {
        int r;

        for (size_t i = 0; i < strings->n; i++) {
                r = parse_model(&list->models[i], list->names[i], strings->values[i], error);
                if (r < 0)
                        return r;
                for (size_t j = 0; j < i; j++)
                        if (list->names[i][0] && strcmp(list->names[i], list->names[j]) == 0)
                                return error_set(error, ERROR_INVALID,
                                                 "--model '%.200s': the name %s is given twice",
                                                 strings->values[i], list->names[i]);
        }
        list->n = strings->n;
        if (list->n == 0) {
                list->embedded = embedded_model();
                list->models[list->n++] = (struct server_model){.source = &list->embedded};
        }
        return 0;
}

static int serve_run(const void *values, _unused_ const struct options *options) {
        _cleanup_(freep) struct model_list *list = calloc(1, sizeof(*list));
        _cleanup_(freep) char *tune_cache = NULL;
        const struct serve_values *v = values;
        struct server_options server = v->server;
        struct error error = ERROR_NONE;
        char host[LISTEN_HOST_MAX];
        int r;

        if (!list) {
                error_no_memory(&error);
                return common_fail("serve", EXIT_FAILED, &error);
        }
        r = listen_parse(host, &server.port, v->listen, &error);
        if (r == 0)
                r = list_models(list, &v->models, &error);
        if (r < 0)
                return common_fail("serve", EXIT_USAGE, &error);

        server.elastic = v->elastic != ELASTIC_OFF && !v->deterministic;
        server.tune = v->deterministic ? TUNE_OFF : (enum tune_effort)v->tune.effort;
        server.precision = (enum precision)v->precision;
        server.no_winograd = v->tune.winograd == WINOGRAD_OFF;
        tune_cache = v->deterministic ? NULL : tune_cache_directory(v->tune.cache);
        server.tune_cache = tune_cache;
        if (v->deterministic)
                server.max_batch = 1;
        server.host = host;
        server.models = list->models;
        server.n_models = list->n;
        r = server_run(&server, &error);
        if (r < 0)
                return common_fail("serve", EXIT_FAILED, &error);
        return EXIT_DONE;
}

const struct command COMMAND_SERVE = {
        .name = "serve",
        .summary = "answer POST /v1/classify over HTTP",
        .description = "Serves one or several models until SIGTERM or SIGINT, then drains: readiness turns "
                       "503, what was accepted is answered, and the exit status is 0. SIGHUP loads all "
                       "models again; one that is bad leaves the old one serving. Logs go to stderr. TIME "
                       "is written 500ms, 5s or 2m, SIZE 512K, 64M or 1G.",
        .example = "saccade serve --listen 127.0.0.1:8080 --model resnet50=models/resnet50.onnx\n"
                   "curl --data-binary @cat.jpg http://127.0.0.1:8080/v1/classify?top_k=3\n",
        .options = serve_options,
        .values_bytes = sizeof(struct serve_values),
        .values_init = serve_init,
        .run = serve_run,
        .runs_engine = true,
};
