#pragma once
/*
 * parameter: the "; name=value" pairs that follow the type in a MIME header value (RFC 2045, section 5.1).
 *
 * Parameters point into the header value. Thread safe, no allocation. Inside of proto/ only.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct parameter {
        const char *name;
        size_t name_size;
        const char *value; /* between the quotes where it is quoted, escapes not undone */
        size_t value_size;
        bool quoted;
};

/* Bytes of the type at the start of a header value: up to a blank, a ';' or the end. Parameters follow. */
size_t parameter_type_size(const char *header);

/* Takes the next pair off *cursor (which ends in zero) and moves it on. 1: *ret_parameter is set; 0: there
 * are no more; negative: ERROR_INVALID. */
int parameter_next(struct parameter *ret_parameter, const char **cursor, struct error *error);

/* Names do not tell upper from lower case. */
bool parameter_is(const struct parameter *parameter, const char *name);

/*
 * Writes the value without its escapes and a terminating zero (to has value_size + 1 bytes); returns its
 * bytes. Only \" and \\ are escapes: Internet Explorer sent "C:\pictures\cat.jpg", and its backslashes are
 * to stay.
 */
size_t parameter_value(char *to, const struct parameter *parameter);
