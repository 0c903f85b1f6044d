#pragma once
/* help: what --help prints, made from the option tables. */
#include <stdio.h>

#include "base/error.h"
#include "cli/options.h"

/* The list of commands, NULL-terminated. */
void help_print_commands(FILE *file, const struct command *const *commands);

/* One command: usage, description, options with their defaults, an example. Fails with ERROR_NO_MEMORY. */
int help_print_command(FILE *file, const struct command *command, struct error *error);
