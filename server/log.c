#include "server/log.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct log {
        int fd;
        enum log_format format;
        enum log_level level;
};

static const char *const level_names[] = {
        [LOG_LEVEL_ERROR] = "error",
        [LOG_LEVEL_WARN] = "warn",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_DEBUG] = "debug",
};

struct line {
        char bytes[LOG_LINE_MAX];
        size_t size, limit;
        bool cut; /* something did not fit; nothing more is added */
};

static void line_put(struct line *line, const char *bytes, size_t size) {
        if (line->cut || size > line->limit - line->size) {
                line->cut = true;
                return;
        }
        memcpy(line->bytes + line->size, bytes, size);
        line->size += size;
}

static void line_puts(struct line *line, const char *text) {
        line_put(line, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void line_printf(struct line *line, const char *format, ...) {
        char text[64];
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        if (n > 0)
                line_put(line, text, MIN((size_t)n, sizeof(text) - 1));
}

/* Bytes of the UTF-8 sequence at text (RFC 3629: no overlong forms, surrogates or values over U+10FFFF), 0
 * where there is none. */
static size_t utf8_length(const unsigned char *text, size_t size) {
        uint32_t value;
        size_t length;

        if (text[0] < 0x80)
                return 1;
        if (text[0] >= 0xc2 && text[0] <= 0xdf) {
                length = 2;
                value = text[0] & 0x1fu;
        } else if (text[0] >= 0xe0 && text[0] <= 0xef) {
                length = 3;
                value = text[0] & 0x0fu;
        } else if (text[0] >= 0xf0 && text[0] <= 0xf4) {
                length = 4;
                value = text[0] & 0x07u;
        } else
                return 0;
        if (length > size)
                return 0;
        for (size_t i = 1; i < length; i++) {
                if ((text[i] & 0xc0u) != 0x80)
                        return 0;
                value = value << 6 | (text[i] & 0x3fu);
        }
        if (length == 3 && (value < 0x800 || (value >= 0xd800 && value <= 0xdfff)))
                return 0;
        if (length == 4 && (value < 0x10000 || value > 0x10ffff))
                return 0;
        return length;
}

/* U+0080 to U+009F are control characters too: a terminal takes U+009B for an escape sequence. */
static bool is_c1_control(const unsigned char *text, size_t length) {
        return length == 2 && text[0] == 0xc2 && text[1] < 0xa0;
}

/* In quotes. JSON has no escape for a stray byte: it becomes U+FFFD there, \xNN in text. */
static void line_quote(struct line *line, enum log_format format, const char *value) {
        const unsigned char *text = (const unsigned char *)value;
        size_t size = strnlen(value, LOG_VALUE_MAX + 1);
        bool longer = size > LOG_VALUE_MAX;

        if (longer)
                size = LOG_VALUE_MAX;
        line_puts(line, "\"");
        for (size_t i = 0, length; i < size; i += MAX(length, (size_t)1)) {
                length = utf8_length(text + i, size - i);
                if (text[i] == '"' || text[i] == '\\')
                        line_printf(line, "\\%c", text[i]);
                else if (text[i] == '\n')
                        line_puts(line, "\\n");
                else if (length == 1 && text[i] >= 0x20 && text[i] != 0x7f)
                        line_put(line, (const char *)text + i, 1);
                else if (length > 1 && !is_c1_control(text + i, length))
                        line_put(line, (const char *)text + i, length);
                else if (format == LOG_FORMAT_TEXT) {
                        for (size_t j = 0; j < MAX(length, (size_t)1); j++)
                                line_printf(line, "\\x%02x", text[i + j]);
                } else if (length == 0)
                        line_puts(line, "\xef\xbf\xbd");
                else
                        line_printf(line, "\\u%04x", length == 1 ? text[i] : text[i + 1]);
        }
        if (longer)
                line_puts(line, "...");
        line_puts(line, "\"");
}

static bool is_bare(const char *value) {
        if (!*value)
                return false;
        for (; *value; value++)
                if (!((*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') ||
                      (*value >= '0' && *value <= '9') || strchr("-_./:,+%@[]", *value)))
                        return false;
        return true;
}

static void line_value(struct line *line, enum log_format format, const struct log_field *field) {
        switch (field->type) {
        case LOG_FIELD_TEXT:
                if (format == LOG_FORMAT_TEXT && strnlen(field->text, LOG_VALUE_MAX + 1) <= LOG_VALUE_MAX &&
                    is_bare(field->text))
                        line_puts(line, field->text);
                else
                        line_quote(line, format, field->text);
                break;
        case LOG_FIELD_COUNT:
                line_printf(line, "%ju", (uintmax_t)field->count);
                break;
        case LOG_FIELD_NUMBER:
                /* JSON has neither infinity nor NaN. */
                if (isfinite(field->number))
                        line_printf(line, "%.3f", field->number);
                else
                        line_puts(line, format == LOG_FORMAT_JSON ? "null" : "-");
                break;
        }
}

static void line_field(struct line *line, enum log_format format, const struct log_field *field) {
        size_t before = line->size;

        if (line->cut || (field->type == LOG_FIELD_TEXT && !field->text))
                return;
        line_puts(line, format == LOG_FORMAT_JSON ? ",\"" : " ");
        line_puts(line, field->key);
        line_puts(line, format == LOG_FORMAT_JSON ? "\":" : "=");
        line_value(line, format, field);
        if (line->cut)
                line->size = before; /* half a field would break the line's form */
}

static void line_head(struct line *line, enum log_format format, enum log_level level, const char *event) {
        struct timespec now;
        char text[32] = "";
        struct tm tm;

        clock_gettime(CLOCK_REALTIME, &now);
        if (gmtime_r(&now.tv_sec, &tm))
                strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        if (format == LOG_FORMAT_JSON) {
                line_printf(line, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":", text,
                            now.tv_nsec / 1000000, level_names[level]);
                line_quote(line, format, event);
        } else {
                line_printf(line, "%s.%03ldZ %-5s ", text, now.tv_nsec / 1000000, level_names[level]);
                line_puts(line, event);
        }
}

int log_new(struct log **ret_log, int fd, enum log_format format, enum log_level level,
            struct error *error) {
        struct log *log = calloc(1, sizeof(*log));

        if (!log)
                return error_no_memory(error);
        *log = (struct log){.fd = fd, .format = format, .level = level};
        *ret_log = log;
        return 0;
}

void log_free(struct log *log) {
        free(log);
}

void log_write(struct log *log, enum log_level level, const char *event, const struct log_field *fields,
               size_t n_fields) {
        struct line line;

        if (level > log->level)
                return;
        line.size = 0;
        line.cut = false;
        line.limit = sizeof(line.bytes) - 2; /* room to close the line */

        line_head(&line, log->format, level, event);
        for (size_t i = 0; i < n_fields; i++)
                line_field(&line, log->format, &fields[i]);
        if (log->format == LOG_FORMAT_JSON)
                line.bytes[line.size++] = '}';
        line.bytes[line.size++] = '\n';
        (void)!write(log->fd, line.bytes, line.size);
}
