#include "cli/terminal.h"

#include <langinfo.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "base/macros.h"

size_t terminal_width(FILE *file) {
        const char *columns = getenv("COLUMNS");
        struct winsize size;
        unsigned long width = 0;

        if (ioctl(fileno(file), TIOCGWINSZ, &size) == 0)
                width = size.ws_col;
        if (width == 0 && columns)
                width = strtoul(columns, NULL, 10);
        if (width == 0)
                width = 80;
        return MIN(MAX(width, 40ul), 400ul);
}

bool terminal_is_interactive(FILE *file) {
        const char *term = getenv("TERM");

        return isatty(fileno(file)) && (!term || strcmp(term, "dumb") != 0);
}

bool terminal_has_colour(FILE *file) {
        const char *no_color = getenv("NO_COLOR");

        return terminal_is_interactive(file) && (!no_color || !*no_color);
}

bool terminal_has_utf8(void) {
        return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

const char *terminal_style(FILE *file, enum terminal_style style) {
        /* ECMA-48, select graphic rendition */
        static const char *const sequences[] = {
                [TERMINAL_PLAIN] = "\x1b[0m",  [TERMINAL_BOLD] = "\x1b[1m", [TERMINAL_DIM] = "\x1b[2m",
                [TERMINAL_GREEN] = "\x1b[32m", [TERMINAL_RED] = "\x1b[31m",
        };

        return terminal_has_colour(file) ? sequences[style] : "";
}

/* One character of text: its bytes, and its columns, or 0 bytes at the end. Unprintable: '?' is to be shown.
 */
static size_t next_character(const char *text, mbstate_t *state, size_t *ret_columns, bool *ret_printable) {
        wchar_t c;
        size_t n = mbrtowc(&c, text, MB_CUR_MAX, state);
        int columns;

        if (n == 0)
                return 0;
        if (n == (size_t)-1 || n == (size_t)-2) {
                *state = (mbstate_t){0};
                *ret_columns = 1;
                *ret_printable = false;
                return 1;
        }
        columns = wcwidth(c);
        *ret_printable = columns >= 0 && !iswcntrl((wint_t)c);
        *ret_columns = *ret_printable ? (size_t)columns : 1;
        return n;
}

size_t terminal_text_width(const char *text) {
        mbstate_t state = {0};
        size_t width = 0, columns, n;
        bool printable;

        for (; (n = next_character(text, &state, &columns, &printable)) > 0; text += n)
                width += columns;
        return width;
}

size_t terminal_print_text(FILE *file, const char *text, size_t width) {
        bool cut = terminal_text_width(text) > width, printable;
        size_t limit = cut && width > 0 ? width - 1 : width, printed = 0, columns, n;
        mbstate_t state = {0};

        for (; (n = next_character(text, &state, &columns, &printable)) > 0; text += n) {
                if (printed + columns > limit)
                        break;
                if (printable)
                        fwrite(text, 1, n, file);
                else
                        fputc('?', file);
                printed += columns;
        }
        if (cut && width > 0) {
                fputs(terminal_has_utf8() ? "…" : "~", file);
                printed++;
        }
        return printed;
}

void terminal_print_wrapped(FILE *file, const char *text, size_t column, size_t indent, size_t width) {
        bool first = true;

        while (*text) {
                size_t n = strcspn(text, " \n");

                if (!first && column + 1 + n > width) {
                        fprintf(file, "\n%*s", (int)indent, "");
                        column = indent;
                        first = true;
                }
                if (n > 0) {
                        fprintf(file, "%s%.*s", first ? "" : " ", (int)n, text);
                        column += n + !first;
                        first = false;
                }
                text += n;
                if (*text == '\n') {
                        fprintf(file, "\n%*s", (int)indent, "");
                        column = indent;
                        first = true;
                }
                text += *text != 0;
        }
        fputc('\n', file);
}

void terminal_print_bar(FILE *file, double fraction, size_t width) {
        static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
        size_t units;

        if (!(fraction > 0))
                fraction = 0;
        fraction = MIN(fraction, 1.0);
        if (!terminal_has_utf8()) {
                units = (size_t)lround(fraction * (double)width);
                for (size_t i = 0; i < units; i++)
                        fputc('#', file);
                return;
        }
        units = (size_t)lround(fraction * (double)width * 8);
        for (size_t i = 0; i < units / 8; i++)
                fputs("█", file);
        fputs(eighths[units % 8], file);
}
