#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_fill(struct error *error, int code, const char *format, ...) {
        va_list args;

        if (!error)
                return;
        error->code = code;
        va_start(args, format);
        vsnprintf(error->text, sizeof(error->text), format, args);
        va_end(args);
}

void error_fill_prefix(struct error *error, int code, const char *format, ...) {
        char old[ERROR_TEXT_MAX];
        va_list args;
        size_t used;
        int n;

        if (!error)
                return;
        memcpy(old, error->text, sizeof(old));
        error->code = code;
        va_start(args, format);
        n = vsnprintf(error->text, sizeof(error->text), format, args);
        va_end(args);
        used = n < 0 ? 0 : (size_t)n;
        if (used + 2 < sizeof(error->text)) {
                memcpy(error->text + used, ": ", 2);
                used += 2;
                memcpy(error->text + used, old, sizeof(old) - used);
                error->text[sizeof(error->text) - 1] = '\0';
        }
}
