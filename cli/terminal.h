#pragma once
/*
 * terminal: what the other side of a stream can show.
 *
 * Text that comes from files (labels, names, paths) passes terminal_print_text() or a table, so that no
 * model or file name can send escape sequences to a terminal.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum terminal_style { TERMINAL_PLAIN, TERMINAL_BOLD, TERMINAL_DIM, TERMINAL_GREEN, TERMINAL_RED };

/* Columns: those of the terminal, else of COLUMNS, else 80; never below 40. */
size_t terminal_width(FILE *file);

bool terminal_is_interactive(FILE *file); /* a terminal that can move the cursor */
bool terminal_has_colour(FILE *file);     /* interactive, and NO_COLOR is not set (no-color.org) */
bool terminal_has_utf8(void);             /* by the locale; main() has called setlocale() */

/* The escape sequence that begins the style, or "" where there is no colour. TERMINAL_PLAIN ends all. */
const char *terminal_style(FILE *file, enum terminal_style style);

/* Columns that text takes, its control characters counted as one each. */
size_t terminal_text_width(const char *text);

/* Prints text cut to at most width columns, control characters and broken UTF-8 replaced by '?'. Returns the
 * columns printed. */
size_t terminal_print_text(FILE *file, const char *text, size_t width);

/* Prints paragraphs of plain ASCII text, wrapped at width; lines after the first begin with indent spaces,
 * the first one stands at column `column` already. Ends with a newline. */
void terminal_print_wrapped(FILE *file, const char *text, size_t column, size_t indent, size_t width);

/* A bar of width columns filled to fraction, in eighths of a block on UTF-8 terminals, '#' elsewhere. */
void terminal_print_bar(FILE *file, double fraction, size_t width);
