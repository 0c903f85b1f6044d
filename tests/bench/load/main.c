/*
 * bench_load: an HTTP load generator for POSTs of images, on the loopback only.
 *
 * See usage below. Latencies of an open loop count from the moment at which a request was to be sent,
 * whatever held it up: a server that stalls cannot make its callers wait unseen. Ends with one line of JSON;
 * with
 * --interval a line for each interval comes before it.
 */
#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/macros.h"
#include "tests/bench/load/generator.h"
#include "tests/bench/load/report.h"

#define EXIT_USAGE       2
#define MAX_TARGET_BYTES 512u
#define MAX_CONNECTIONS  20000u

static const char USAGE[] =
        "Usage: bench_load --images DIR [--clients N | --rate R] [OPTION]... http://127.0.0.1:PORT/PATH\n"
        "\n"
        "  --images DIR        bodies: its JPEG, PNG and WebP files, in order of their names\n"
        "  --body-bytes N      fills shorter bodies up with zeros\n"
        "  --clients N         closed loop: N connections, each asks again when it has its answer (default: "
        "1)\n"
        "  --rate R            open loop: R requests a second, sent when it is time\n"
        "  --arrival KIND      constant, poisson, bursts (default: constant)\n"
        "  --on S --off S      bursts: for so long all requests of both times, then none (default: 0.1, "
        "0.1)\n"
        "  --connections N     open loop: at most so many (default: 1024)\n"
        "  --sources N         connect from N addresses of the loopback by turns\n"
        "  --seed N            of random arrivals (default: 1)\n"
        "  --seconds S         to measure (default: 3), after\n"
        "  --warm-up S         of the same load (default: 0.3)\n"
        "  --grace S           at the end, for what is under way (default: 10)\n"
        "  --deadline MS       goodput counts what is answered with 200 within it\n"
        "  --send-deadline     and the server is told: timeout_ms=MS in the query\n"
        "  --obey-retry-after  a refused request is sent again when its answer says so\n"
        "  --read-late         look for an answer only after all of the body is sent\n"
        "  --interval S        also a line of JSON for each interval\n";

struct arguments {
        const char *images, *url;
        double rate, seconds, warm_up, grace, deadline_ms, on, off, interval;
        size_t clients, connections, body_bytes;
        unsigned sources;
        uint64_t seed;
        enum arrival arrival;
        bool send_deadline, obey, read_late;
};

static int usage(const char *what) {
        fprintf(stderr, "bench_load: %s\n%s", what, USAGE);
        return EXIT_USAGE;
}

static bool parse_real(const char *text, double least, double most, double *ret_value) {
        char *end;
        double value = strtod(text, &end);

        if (end == text || *end != '\0' || !(value >= least && value <= most))
                return false;
        *ret_value = value;
        return true;
}

static bool parse_count(const char *text, double most, size_t *ret_value) {
        double value;

        if (!parse_real(text, 1, most, &value) || value != (double)(size_t)value)
                return false;
        *ret_value = (size_t)value;
        return true;
}

static bool parse_arrival(const char *text, enum arrival *ret_arrival) {
        static const char *const names[] = {
                [ARRIVAL_CONSTANT] = "constant", [ARRIVAL_POISSON] = "poisson", [ARRIVAL_BURSTS] = "bursts"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcmp(text, names[i]) == 0) {
                        *ret_arrival = (enum arrival)i;
                        return true;
                }
        return false;
}

enum option_code {
        OPTION_IMAGES = 1,
        OPTION_BODY_BYTES,
        OPTION_CLIENTS,
        OPTION_RATE,
        OPTION_ARRIVAL,
        OPTION_ON,
        OPTION_OFF,
        OPTION_CONNECTIONS,
        OPTION_SOURCES,
        OPTION_SEED,
        OPTION_SECONDS,
        OPTION_WARM_UP,
        OPTION_GRACE,
        OPTION_DEADLINE,
        OPTION_SEND_DEADLINE,
        OPTION_OBEY,
        OPTION_READ_LATE,
        OPTION_INTERVAL,
};

static const struct option OPTIONS[] = {
        {"images", required_argument, NULL, OPTION_IMAGES},
        {"body-bytes", required_argument, NULL, OPTION_BODY_BYTES},
        {"clients", required_argument, NULL, OPTION_CLIENTS},
        {"rate", required_argument, NULL, OPTION_RATE},
        {"arrival", required_argument, NULL, OPTION_ARRIVAL},
        {"on", required_argument, NULL, OPTION_ON},
        {"off", required_argument, NULL, OPTION_OFF},
        {"connections", required_argument, NULL, OPTION_CONNECTIONS},
        {"sources", required_argument, NULL, OPTION_SOURCES},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"warm-up", required_argument, NULL, OPTION_WARM_UP},
        {"grace", required_argument, NULL, OPTION_GRACE},
        {"deadline", required_argument, NULL, OPTION_DEADLINE},
        {"send-deadline", no_argument, NULL, OPTION_SEND_DEADLINE},
        {"obey-retry-after", no_argument, NULL, OPTION_OBEY},
        {"read-late", no_argument, NULL, OPTION_READ_LATE},
        {"interval", required_argument, NULL, OPTION_INTERVAL},
        {0},
};

static bool parse_option(struct arguments *a, int code, const char *text) {
        size_t count;

        switch (code) {
        case OPTION_IMAGES:
                a->images = text;
                return true;
        case OPTION_BODY_BYTES:
                return parse_count(text, 64 << 20, &a->body_bytes);
        case OPTION_CLIENTS:
                return parse_count(text, MAX_CONNECTIONS, &a->clients);
        case OPTION_RATE:
                return parse_real(text, 1e-3, 1e6, &a->rate);
        case OPTION_ARRIVAL:
                return parse_arrival(text, &a->arrival);
        case OPTION_ON:
                return parse_real(text, 1e-3, 3600, &a->on);
        case OPTION_OFF:
                return parse_real(text, 0, 3600, &a->off);
        case OPTION_CONNECTIONS:
                return parse_count(text, MAX_CONNECTIONS, &a->connections);
        case OPTION_SOURCES:
                if (!parse_count(text, 1 << 16, &count))
                        return false;
                a->sources = (unsigned)count;
                return true;
        case OPTION_SEED:
                return parse_count(text, 1e15, &a->seed);
        case OPTION_SECONDS:
                return parse_real(text, 0.01, 86400, &a->seconds);
        case OPTION_WARM_UP:
                return parse_real(text, 0, 86400, &a->warm_up);
        case OPTION_GRACE:
                return parse_real(text, 0, 86400, &a->grace);
        case OPTION_DEADLINE:
                return parse_real(text, 1e-3, 1e9, &a->deadline_ms);
        case OPTION_SEND_DEADLINE:
                a->send_deadline = true;
                return true;
        case OPTION_OBEY:
                a->obey = true;
                return true;
        case OPTION_READ_LATE:
                a->read_late = true;
                return true;
        case OPTION_INTERVAL:
                return parse_real(text, 0.1, 86400, &a->interval);
        default:
                return false;
        }
}

static int parse_arguments(struct arguments *a, int argc, char **argv) {
        int code, index = 0;

        while ((code = getopt_long(argc, argv, "", OPTIONS, &index)) != -1) {
                char what[64];

                if (code == '?')
                        return usage("no such option, or its value is missing");
                snprintf(what, sizeof(what), "--%s has no such value", OPTIONS[index].name);
                if (!parse_option(a, code, optarg))
                        return usage(what);
        }
        if (optind + 1 != argc)
                return usage("one URL is wanted");
        a->url = argv[optind];
        if (!a->images)
                return usage("--images is missing");
        if (a->clients > 0 && a->rate > 0)
                return usage("either --clients or --rate");
        if (a->send_deadline && a->deadline_ms <= 0)
                return usage("--send-deadline without --deadline");
        return 0;
}

/* http://ADDRESS:PORT/PATH, with an address of the loopback: what this program does to a server is nothing
 * to do to anybody else's. */
static bool parse_url(const char *url, struct sockaddr_in *ret_address, const char **ret_target) {
        char host[INET_ADDRSTRLEN];
        unsigned port;
        int end = 0;
        struct sockaddr_in address = {.sin_family = AF_INET};

        if (sscanf(url, "http://%15[0-9.]:%u%n", host, &port, &end) != 2 || port == 0 || port > 65535 ||
            url[end] != '/' || inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
            ntohl(address.sin_addr.s_addr) >> 24 != 127)
                return false;
        address.sin_port = htons((uint16_t)port);
        *ret_address = address;
        *ret_target = url + end;
        return true;
}

static void print_line(cJSON *object) {
        _cleanup_(freep) char *text = cJSON_PrintUnformatted(object);

        if (text)
                puts(text);
        fflush(stdout);
        cJSON_Delete(object);
}

static void print_interval(void *context, double second, struct tally *tally) {
        const struct arguments *a = context;

        print_line(report_interval(second, a->interval, tally));
}

static void raise_descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static uint64_t ns_of(double seconds) {
        return (uint64_t)(seconds * 1e9 + 0.5);
}

static int run(struct arguments *a, const struct sockaddr_in *address, const char *target) {
        _cleanup_(bodies_release) struct bodies bodies = {0};
        _cleanup_(generator_result_release) struct generator_result result = {0};
        struct error error = ERROR_NONE;
        const struct generator_options options = {
                .address = *address,
                .target = target,
                .bodies = &bodies,
                .body_bytes = a->body_bytes,
                .open = a->rate > 0,
                .arrivals = {.kind = a->arrival,
                             .rate = a->rate,
                             .on_ns = ns_of(a->on),
                             .off_ns = ns_of(a->off),
                             .seed = a->seed},
                .n_connections = a->rate > 0 ? a->connections : MAX(a->clients, (size_t)1),
                .n_sources = a->sources,
                .warm_up_ns = ns_of(a->warm_up),
                .window_ns = ns_of(a->seconds),
                .grace_ns = ns_of(a->grace),
                .deadline_ns = a->deadline_ms > 0 ? ns_of(a->deadline_ms / 1e3) : UINT64_MAX,
                .obey_retry_after = a->obey,
                .read_late = a->read_late,
                .interval_ns = ns_of(a->interval),
                .interval = print_interval,
                .context = a,
        };
        int r = bodies_load(&bodies, a->images, &error);

        if (r >= 0)
                r = generator_run(&result, &options, &error);
        if (r < 0) {
                fprintf(stderr, "bench_load: %s\n", error.text);
                return EXIT_FAILURE;
        }
        print_line(report_result(&result, &options));
        return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        struct arguments arguments = {.seconds = 3,
                                      .warm_up = 0.3,
                                      .grace = 10,
                                      .on = 0.1,
                                      .off = 0.1,
                                      .connections = 1024,
                                      .seed = 1};
        char target[MAX_TARGET_BYTES];
        struct sockaddr_in address;
        const char *path;
        int r = parse_arguments(&arguments, argc, argv), n;

        if (r != 0)
                return r;
        if (!parse_url(arguments.url, &address, &path))
                return usage("the URL must be http://127.x.x.x:PORT/PATH: this is for the loopback only");
        if (arguments.send_deadline)
                n = snprintf(target, sizeof(target), "%s%ctimeout_ms=%.0f", path,
                             strchr(path, '?') ? '&' : '?', arguments.deadline_ms);
        else
                n = snprintf(target, sizeof(target), "%s", path);
        if (n < 0 || (size_t)n >= sizeof(target))
                return usage("the URL is too long");
        raise_descriptor_limit();
        return run(&arguments, &address, target);
}
