#include "proto/parameter.h"

#include <string.h>
#include <strings.h>

#include "proto/utf8.h"

#define BLANKS      " \t"
#define SHOWN_BYTES 64u

static bool is_escape(const char *p) {
        return p[0] == '\\' && (p[1] == '"' || p[1] == '\\');
}

size_t parameter_type_size(const char *header) {
        return strcspn(header, BLANKS ";");
}

static int take_value(struct parameter *parameter, const char **cursor, struct error *error) {
        const char *p = *cursor;

        parameter->quoted = *p == '"';
        if (!parameter->quoted) {
                parameter->value = p;
                parameter->value_size = strcspn(p, BLANKS ";");
                *cursor = p + parameter->value_size;
                return 0;
        }
        parameter->value = ++p;
        while (*p && *p != '"')
                p += is_escape(p) ? 2 : 1;
        if (!*p)
                return error_set(error, ERROR_INVALID, "the quoted value of '%.*s' has no closing '\"'",
                                 (int)utf8_prefix(parameter->name, parameter->name_size, SHOWN_BYTES),
                                 parameter->name);
        parameter->value_size = (size_t)(p - parameter->value);
        *cursor = p + 1;
        return 0;
}

int parameter_next(struct parameter *ret_parameter, const char **cursor, struct error *error) {
        struct parameter parameter;
        const char *p = *cursor;
        int r;

        p += strspn(p, BLANKS);
        if (*p && *p != ';')
                return error_set(
                        error, ERROR_INVALID,
                        "'%.*s' stands where ';' or the end must be; put a value with blanks between "
                        "double quotes",
                        (int)utf8_prefix(p, strlen(p), SHOWN_BYTES), p);
        /* A ';' with nothing behind it is common, and clear. */
        p += strspn(p, BLANKS ";");
        if (!*p) {
                *cursor = p;
                return 0;
        }
        parameter.name = p;
        parameter.name_size = strcspn(p, BLANKS ";=\"");
        p += parameter.name_size;
        if (parameter.name_size == 0 || *p != '=')
                return error_set(error, ERROR_INVALID, "'%.*s' is no name=value",
                                 (int)utf8_prefix(parameter.name, strlen(parameter.name), SHOWN_BYTES),
                                 parameter.name);
        p++;
        r = take_value(&parameter, &p, error);
        if (r < 0)
                return r;

        *ret_parameter = parameter;
        *cursor = p;
        return 1;
}

bool parameter_is(const struct parameter *parameter, const char *name) {
        return parameter->name_size == strlen(name) &&
               strncasecmp(parameter->name, name, parameter->name_size) == 0;
}

size_t parameter_value(char *to, const struct parameter *parameter) {
        const char *value = parameter->value;
        size_t n = 0;

        for (size_t i = 0; i < parameter->value_size; i++) {
                /* The byte after a value is its quote or its end, so that looking at it is safe. */
                if (parameter->quoted && is_escape(value + i))
                        i++;
                to[n++] = value[i];
        }
        to[n] = 0;
        return n;
}
