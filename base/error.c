#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, int code, const char *format, ...) {
        va_list args;

        if (error) {
                error->code = code;
                va_start(args, format);
                vsnprintf(error->text, sizeof(error->text), format, args);
                va_end(args);
        }
        return code;
}

int error_prefix(struct error *error, int code, const char *format, ...) {
        char text[ERROR_TEXT_MAX];
        va_list args;
        int n;

        if (!error)
                return code;

        va_start(args, format);
        n = vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof(text) - 1)
                snprintf(text + n, sizeof(text) - (size_t)n, ": %s", error->text);
        error->code = code;
        memcpy(error->text, text, sizeof(text));
        return code;
}

int error_no_memory(struct error *error) {
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
}
