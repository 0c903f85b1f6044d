#pragma once
/*
 * screen: a terminal that is drawn on from its upper left corner, and its keys. Plain control sequences of
 * ECMA-48 and xterm; the terminal is as before after screen_free(), and while the process is stopped. One a
 * process, one thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

struct screen;

enum screen_event {
        SCREEN_TIMEOUT,
        SCREEN_REDRAW, /* another size, or the terminal was somebody else's for a while */
        SCREEN_QUIT,   /* q, Ctrl-C, the end of the input, or a signal to end */
};

/* Takes over stdout, keys from stdin where that is a terminal, and the signals. Fails with ERROR_IO or
 * ERROR_NO_MEMORY. */
int screen_new(struct screen **ret_screen, struct error *error);
void screen_free(struct screen *screen);
DEFINE_CLEANUP(screen)

/* What can be read when there is an event; for poll(). */
const int *screen_fds(const struct screen *screen, size_t *ret_n_fds);

/* Waits until the time (clock_ns()), or for the next event. */
enum screen_event screen_wait(struct screen *screen, uint64_t until_ns);

size_t screen_lines(void);

/* Shows text, whose lines end in '\n', in place of what is there. False where the terminal is gone. */
bool screen_show(struct screen *screen, const char *text, size_t size);
