#pragma once
/*
 * progress: a bar on stderr while something takes long; nothing at all where stderr is no terminal.
 *
 * One at a time, from one thread. Erase it (progress_hide, progress_end) before anything else is printed.
 */
#include <stdbool.h>
#include <stdint.h>

struct progress {
        const char *label; /* borrowed */
        bool visible, drawn;
        uint64_t started_ns, next_ns;
};

void progress_begin(struct progress *progress, const char *label);

/* Draws at most ten times a second, so that it may be called often. fraction: 0 to 1. */
void progress_update(struct progress *progress, double fraction);

/* Erases the bar; the next update draws it again. */
void progress_hide(struct progress *progress);

void progress_end(struct progress *progress);
