#include "cli/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/terminal.h"

#define TABLE_GAP        2u /* columns of space between two columns */
#define TABLE_SHRINK_MIN 8u /* no column is cut below this */

struct table {
        const struct table_column *columns;
        size_t n_columns;
        char **cells;
        size_t n_cells, max_cells;
};

int table_new(struct table **ret_table, const struct table_column *columns, size_t n_columns,
              struct error *error) {
        struct table *table = calloc(1, sizeof(*table));

        if (!table)
                return error_no_memory(error);
        table->columns = columns;
        table->n_columns = MIN(n_columns, (size_t)TABLE_MAX_COLUMNS);
        *ret_table = table;
        return 0;
}

void table_free(struct table *table) {
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i]);
        free(table->cells);
        free(table);
}

int table_add(struct table *table, struct error *error, const char *format, ...) {
        va_list args;
        int n;

        if (table->n_cells == table->max_cells) {
                size_t max_cells = MAX(table->max_cells * 2, (size_t)64);
                char **cells = reallocarray(table->cells, max_cells, sizeof(*cells));

                if (!cells)
                        return error_no_memory(error);
                table->cells = cells;
                table->max_cells = max_cells;
        }
        va_start(args, format);
        n = vasprintf(&table->cells[table->n_cells], format, args);
        va_end(args);
        if (n < 0)
                return error_no_memory(error);
        table->n_cells++;
        return 0;
}

/* Takes from the widest column that may shrink until the line fits. */
static void fit_widths(const struct table *table, size_t *widths, size_t line_width) {
        size_t total = TABLE_GAP * (table->n_columns - 1);

        for (size_t c = 0; c < table->n_columns; c++)
                total += widths[c];
        while (total > line_width) {
                size_t widest = SIZE_MAX;

                for (size_t c = 0; c < table->n_columns; c++)
                        if (table->columns[c].shrink && widths[c] > TABLE_SHRINK_MIN &&
                            (widest == SIZE_MAX || widths[c] > widths[widest]))
                                widest = c;
                if (widest == SIZE_MAX)
                        return;
                widths[widest]--;
                total--;
        }
}

/* The last columns of text, which has more than width of them; whole UTF-8 sequences. */
static const char *tail_of(const char *text, size_t width) {
        while (*text && terminal_text_width(text) > width) {
                text++;
                while (((unsigned char)*text & 0xc0u) == 0x80u)
                        text++;
        }
        return text;
}

static void print_cell(FILE *file, const struct table_column *column, const char *text, size_t width,
                       bool last) {
        size_t n;

        if (column->tail)
                text = tail_of(text, width);
        n = MIN(terminal_text_width(text), width);
        if (column->right)
                fprintf(file, "%*s", (int)(width - n), "");
        terminal_print_text(file, text, width);
        if (!last)
                fprintf(file, "%*s", (int)((column->right ? 0 : width - n) + TABLE_GAP), "");
}

void table_print(const struct table *table, FILE *file, size_t width) {
        size_t widths[TABLE_MAX_COLUMNS];

        for (size_t c = 0; c < table->n_columns; c++) {
                widths[c] = terminal_text_width(table->columns[c].title);
                for (size_t i = c; i < table->n_cells; i += table->n_columns)
                        widths[c] = MAX(widths[c], terminal_text_width(table->cells[i]));
        }
        fit_widths(table, widths, width);

        fputs(terminal_style(file, TERMINAL_BOLD), file);
        for (size_t c = 0; c < table->n_columns; c++)
                print_cell(file, &table->columns[c], table->columns[c].title, widths[c],
                           c + 1 == table->n_columns);
        fprintf(file, "%s\n", terminal_style(file, TERMINAL_PLAIN));
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t c = i % table->n_columns;

                print_cell(file, &table->columns[c], table->cells[i], widths[c], c + 1 == table->n_columns);
                if (c + 1 == table->n_columns)
                        fputc('\n', file);
        }
}
