#pragma once
/*
 * table: rows of text, printed in aligned columns no wider than the terminal.
 *
 * Cells are copied. Not thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/macros.h"

#define TABLE_MAX_COLUMNS 16u

struct table_column {
        const char *title;
        bool right;  /* numbers stand right */
        bool shrink; /* may be cut where the line is too long */
        bool tail;   /* cut at the beginning: the end of the text is what tells */
};

struct table;

/* The columns must outlive the table. */
int table_new(struct table **ret_table, const struct table_column *columns, size_t n_columns,
              struct error *error);
void table_free(struct table *table);
DEFINE_CLEANUP(table)

/* Appends a cell; rows fill from left to right. */
int table_add(struct table *table, struct error *error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Titles (bold on a terminal), then the rows, cut to width columns as far as columns may be cut. */
void table_print(const struct table *table, FILE *file, size_t width);
