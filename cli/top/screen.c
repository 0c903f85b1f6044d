#include "cli/top/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"

/* The other screen, no cursor, lines cut at the right margin; and all of it undone. */
#define ENTER      "\x1b[?1049h\x1b[?25l\x1b[?7l"
#define LEAVE      "\x1b[?7h\x1b[?25h\x1b[?1049l"
#define HOME       "\x1b[H"
#define CLEAR_LINE "\x1b[K"
#define CLEAR_REST "\x1b[J"

struct screen {
        int fds[2]; /* the signalfd; stdin */
        size_t n_fds;
        struct termios saved;
        sigset_t signals, old_signals;
        bool entered;
};

static bool put(const char *bytes, size_t size) {
        while (size > 0) {
                ssize_t n = write(STDOUT_FILENO, bytes, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return false;
                bytes += n;
                size -= (size_t)n;
        }
        return true;
}

static void enter(struct screen *screen) {
        if (screen->n_fds > 1) {
                struct termios raw = screen->saved;

                raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C and Ctrl-Z stay signals */
                raw.c_cc[VMIN] = 1;
                raw.c_cc[VTIME] = 0;
                tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
        }
        put(ENTER, strlen(ENTER));
        screen->entered = true;
}

static void leave(struct screen *screen) {
        if (!screen->entered)
                return;
        put(LEAVE, strlen(LEAVE));
        if (screen->n_fds > 1)
                tcsetattr(STDIN_FILENO, TCSAFLUSH, &screen->saved);
        screen->entered = false;
}

int screen_new(struct screen **ret_screen, struct error *error) {
        struct screen *screen = calloc(1, sizeof(*screen));
        const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};

        if (!screen)
                return error_no_memory(error);
        sigemptyset(&screen->signals);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                sigaddset(&screen->signals, signals[i]);
        sigprocmask(SIG_BLOCK, &screen->signals, &screen->old_signals);
        screen->fds[0] = signalfd(-1, &screen->signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (screen->fds[0] < 0) {
                sigprocmask(SIG_SETMASK, &screen->old_signals, NULL);
                free(screen);
                return error_set(error, ERROR_IO, "signalfd: %s", strerror(errno));
        }
        screen->n_fds = 1;
        if (tcgetattr(STDIN_FILENO, &screen->saved) == 0)
                screen->fds[screen->n_fds++] = STDIN_FILENO;
        enter(screen);
        *ret_screen = screen;
        return 0;
}

void screen_free(struct screen *screen) {
        leave(screen);
        close(screen->fds[0]);
        sigprocmask(SIG_SETMASK, &screen->old_signals, NULL);
        free(screen);
}

const int *screen_fds(const struct screen *screen, size_t *ret_n_fds) {
        *ret_n_fds = screen->n_fds;
        return screen->fds;
}

/* The shell gets its terminal back until it continues us. */
static void stop(struct screen *screen) {
        leave(screen);
        kill(getpid(), SIGSTOP);
        enter(screen);
}

static enum screen_event read_signal(struct screen *screen) {
        struct signalfd_siginfo info;

        if (read(screen->fds[0], &info, sizeof(info)) != (ssize_t)sizeof(info))
                return SCREEN_TIMEOUT;
        if (info.ssi_signo == SIGTSTP)
                stop(screen);
        return info.ssi_signo == SIGTSTP || info.ssi_signo == SIGWINCH ? SCREEN_REDRAW : SCREEN_QUIT;
}

static enum screen_event read_key(void) {
        char keys[64];
        ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
                return SCREEN_QUIT;
        for (ssize_t i = 0; i < n; i++)
                if (keys[i] == 'q' || keys[i] == 'Q')
                        return SCREEN_QUIT;
        return SCREEN_TIMEOUT;
}

enum screen_event screen_wait(struct screen *screen, uint64_t until_ns) {
        struct pollfd fds[] = {{.fd = screen->fds[0], .events = POLLIN},
                               {.fd = STDIN_FILENO, .events = POLLIN}};

        for (;;) {
                uint64_t now_ns = clock_ns();
                enum screen_event event = SCREEN_TIMEOUT;
                int n = poll(fds, screen->n_fds,
                             now_ns < until_ns ? (int)((until_ns - now_ns) / 1000000 + 1) : 0);

                if (n > 0 && fds[0].revents)
                        event = read_signal(screen);
                else if (n > 0 && fds[1].revents)
                        event = read_key();
                if (event != SCREEN_TIMEOUT || n == 0)
                        return event;
        }
}

size_t screen_lines(void) {
        struct winsize size;

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

bool screen_show(struct screen *screen, const char *text, size_t size) {
        _cleanup_(freep) char *bytes = NULL;
        size_t n_bytes = 0, lines = screen_lines();
        FILE *file = open_memstream(&bytes, &n_bytes);
        bool written;

        if (!file || !screen->entered)
                return false;
        fputs(HOME, file);
        /* The last line has no newline, which would scroll. */
        for (size_t at = 0; at < size && lines > 0; lines--) {
                const char *newline = memchr(text + at, '\n', size - at);
                size_t n = newline ? (size_t)(newline - text) - at : size - at;

                fwrite(text + at, 1, n, file);
                fputs(lines > 1 ? CLEAR_LINE "\r\n" : CLEAR_LINE, file);
                at += n + 1;
        }
        fputs(CLEAR_REST, file);
        written = fclose(file) == 0;
        return written && put(bytes, n_bytes);
}
