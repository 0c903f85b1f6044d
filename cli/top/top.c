#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/terminal.h"
#include "cli/top/exposition.h"
#include "cli/top/fetch.h"
#include "cli/top/report.h"
#include "cli/top/screen.h"
#include "cli/top/url.h"

#define TOP_DEFAULT_URL "127.0.0.1:8080"
#define TOP_TIMEOUT_MS  5000u

struct top_values {
        const char *config;
        unsigned interval_ms;
        bool once;
};

static const struct option top_options[] = {
        {.name = "once",
         .type = OPTION_BOOL,
         .offset = offsetof(struct top_values, once),
         .help = "print one report of the next interval and end, as it does where stdout is no terminal"},
        {.name = "interval",
         .argument = "TIME",
         .type = OPTION_MILLISECONDS,
         .min = 100,
         .max = 3600000,
         .offset = offsetof(struct top_values, interval_ms),
         .help = "what each report covers"},
        OPTION_ROW_CONFIG(struct top_values),
        {0},
};

static void top_init(void *values) {
        struct top_values *v = values;

        v->interval_ms = 1000;
}

struct scrape {
        struct exposition *exposition;
        uint64_t time_ns;
};

static void scrape_release(struct scrape *scrape) {
        if (scrape->exposition)
                exposition_free(scrape->exposition);
        *scrape = (struct scrape){0};
}

/* What is watched, and what is known of it. */
struct watch {
        struct url url;
        const char *text; /* as it was given */
        struct scrape before, now;
};

static void watch_release(struct watch *watch) {
        scrape_release(&watch->before);
        scrape_release(&watch->now);
}

/* The scrape before becomes the one before that. Returns FETCH_INTERRUPTED where an event waits at wake_fds.
 */
static int watch_scrape(struct watch *watch, const int *wake_fds, size_t n_wake_fds, struct error *error) {
        const struct fetch_options options = {.timeout_ms = TOP_TIMEOUT_MS,
                                              .max_bytes = EXPOSITION_MAX_BYTES,
                                              .wake_fds = wake_fds,
                                              .n_wake_fds = n_wake_fds};
        _cleanup_(freep) char *text = NULL;
        struct scrape scrape = {0};
        size_t size = 0;
        int r;

        r = fetch(&text, &size, &watch->url, &options, error);
        if (r != 0)
                return r;
        scrape.time_ns = clock_ns();
        r = exposition_parse(&scrape.exposition, text, size, error);
        if (r == 0)
                r = report_check(scrape.exposition, error);
        else
                error_prefix(error, r, "these are no metrics");
        if (r < 0) {
                scrape_release(&scrape);
                return error_prefix(error, r, "%s%s", watch->url.authority, watch->url.path);
        }
        scrape_release(&watch->before);
        watch->before = watch->now;
        watch->now = scrape;
        return 0;
}

static void watch_report(const struct watch *watch, struct report *ret_report) {
        report_make(ret_report, watch->now.exposition, watch->before.exposition,
                    (double)(watch->now.time_ns - watch->before.time_ns) / 1e9, (double)time(NULL));
}

static int top_once(struct watch *watch, const struct top_values *v, struct error *error) {
        const struct report_style style = {
                .plain = "", .bold = "", .dim = "", .alarm = "", .width = terminal_width(stdout)};
        struct report report;
        int r;

        r = watch_scrape(watch, NULL, 0, error);
        if (r < 0)
                return r;
        poll(NULL, 0, (int)v->interval_ms);
        r = watch_scrape(watch, NULL, 0, error);
        if (r < 0)
                return r;
        watch_report(watch, &report);
        report_print(stdout, &report, watch->text, &style);
        return 0;
}

/* problem: why the numbers are old, or "". */
static int draw(struct screen *screen, const struct report *report, const char *head, const char *problem,
                struct error *error) {
        struct report_style style = {.plain = terminal_style(stdout, TERMINAL_PLAIN),
                                     .bold = terminal_style(stdout, TERMINAL_BOLD),
                                     .dim = terminal_style(stdout, TERMINAL_DIM),
                                     .alarm = terminal_style(stdout, TERMINAL_RED),
                                     .width = terminal_width(stdout),
                                     .max_lines = MAX(screen_lines(), (size_t)3) - (*problem ? 2 : 0)};
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);

        if (!file)
                return error_no_memory(error);
        if (*problem) {
                fputs(style.alarm, file);
                terminal_print_text(file, problem, style.width);
                fprintf(file, "%s\n\n", style.plain);
        }
        report_print(file, report, head, &style);
        if (fclose(file) != 0)
                return error_no_memory(error);
        if (!screen_show(screen, text, size))
                return error_set(error, ERROR_IO, "the terminal is gone");
        return 0;
}

/* Until the user has seen enough. A server that does not answer is asked again: it may be restarting. */
static int watch_live(struct watch *watch, const struct top_values *v, struct screen *screen,
                      struct report *report, struct error *error) {
        const uint64_t interval_ns = (uint64_t)v->interval_ms * 1000000u;
        uint64_t next_ns = clock_ns() + interval_ns;
        struct error problem = ERROR_NONE;
        size_t n_fds;
        const int *fds = screen_fds(screen, &n_fds);
        int r;

        for (;;) {
                enum screen_event event;

                r = draw(screen, report, watch->text, problem.text, error);
                if (r < 0)
                        return r;
                event = screen_wait(screen, next_ns);
                if (event == SCREEN_QUIT)
                        return 0;
                if (event == SCREEN_REDRAW)
                        continue;
                r = watch_scrape(watch, fds, n_fds, &problem);
                if (r == FETCH_INTERRUPTED)
                        continue; /* the event is looked at, and the server is asked again at once */
                if (r == 0) {
                        watch_report(watch, report);
                        problem = ERROR_NONE;
                }
                /* In step with the clock, but never in a burst after a long answer. */
                next_ns = MAX(next_ns + interval_ns, clock_ns());
        }
}

static int top_live(struct watch *watch, const struct top_values *v, struct error *error) {
        _cleanup_(screen_freep) struct screen *screen = NULL;
        struct report report;
        int r;

        /* An address that is wrong is told as any other error. */
        r = watch_scrape(watch, NULL, 0, error);
        if (r == 0)
                r = screen_new(&screen, error);
        if (r < 0)
                return r;
        watch_report(watch, &report);
        return watch_live(watch, v, screen, &report, error);
}

static int top_run(const void *values, const struct options *options) {
        _cleanup_(watch_release) struct watch watch = {0};
        const struct top_values *v = values;
        struct error error = ERROR_NONE;
        int r;

        watch.text = options_n_operands(options) > 0 ? options_operand(options, 0) : TOP_DEFAULT_URL;
        r = url_parse(&watch.url, watch.text, &error);
        if (r < 0)
                return common_fail("top", EXIT_USAGE, &error);
        r = v->once || !terminal_is_interactive(stdout) ? top_once(&watch, v, &error)
                                                        : top_live(&watch, v, &error);
        if (r < 0)
                return common_fail("top", EXIT_FAILED, &error);
        return EXIT_DONE;
}

const struct command COMMAND_TOP = {
        .name = "top",
        .summary = "watch a running server",
        .description =
                "Shows what a server does, from its metrics, anew each second: requests and images a second "
                "by how they ended, what was refused, the queue, the time in each stage, and each model. "
                "URL is HOST:PORT or http://HOST:PORT/metrics (default: " TOP_DEFAULT_URL
                "). q or Ctrl-C ends it.",
        .operands = "[URL]",
        .example = "saccade top 127.0.0.1:8080\n"
                   "saccade top --once --interval 10s http://[::1]:8080/metrics\n",
        .options = top_options,
        .max_operands = 1,
        .values_bytes = sizeof(struct top_values),
        .values_init = top_init,
        .run = top_run,
};
