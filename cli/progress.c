#include "cli/progress.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/macros.h"
#include "cli/terminal.h"

#define PROGRESS_INTERVAL_NS 100000000u
#define PROGRESS_DELAY_NS    300000000u /* what is done by then needs no bar */
#define PROGRESS_BAR_WIDTH   30u        /* columns */

void progress_begin(struct progress *progress, const char *label) {
        uint64_t now = clock_ns();

        *progress = (struct progress){
                .label = label,
                .visible = terminal_is_interactive(stderr),
                .started_ns = now,
                .next_ns = now + PROGRESS_DELAY_NS,
        };
}

void progress_update(struct progress *progress, double fraction) {
        uint64_t now;
        double elapsed_s;

        if (!progress->visible)
                return;
        now = clock_ns();
        if (now < progress->next_ns)
                return;
        progress->next_ns = now + PROGRESS_INTERVAL_NS;
        progress->drawn = true;
        fraction = MIN(MAX(fraction, 0.0), 1.0);
        elapsed_s = clock_ms_between(progress->started_ns, now) / 1e3;
        /* Back to the first column, and what is right of the bar is erased. */
        fprintf(stderr, "\r%s %3.0f %% %s", progress->label, fraction * 100,
                terminal_style(stderr, TERMINAL_GREEN));
        terminal_print_bar(stderr, fraction, PROGRESS_BAR_WIDTH);
        fprintf(stderr, "%s", terminal_style(stderr, TERMINAL_PLAIN));
        if (fraction > 0.02)
                fprintf(stderr, " %.0f s left", elapsed_s / fraction * (1 - fraction));
        fprintf(stderr, "\x1b[K");
        fflush(stderr);
}

void progress_hide(struct progress *progress) {
        if (progress->drawn)
                fprintf(stderr, "\r\x1b[K");
        progress->drawn = false;
}

void progress_end(struct progress *progress) {
        progress_hide(progress);
        progress->visible = false;
}
