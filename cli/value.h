#pragma once
/* value: the text of an option to the field that it sets, and back for the help. Thread safe. */
#include <stddef.h>

#include "base/error.h"
#include "cli/options.h"

/*
 * Writes the field of the option's type; OPTION_STRING and OPTION_STRINGS keep the pointer. `where` begins
 * the error text ("--top-k"). Fails with ERROR_INVALID, and ERROR_LIMIT beyond OPTIONS_MAX_REPEATS.
 */
int value_parse(void *field, const struct option *option, const char *where, const char *text,
                struct error *error);

/* "a number", "true or false", ...: what a value of the type looks like. */
const char *value_expected(enum option_type type);

/* The value that stands in the field, as one would write it; "" where it says nothing: zero, no string,
 * false. */
void value_format(char *ret_text, size_t size, const struct option *option, const void *field);
