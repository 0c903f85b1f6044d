#pragma once
/*
 * log: one line an event, to one file descriptor, as logfmt text or as JSON.
 *
 * Thread safe: a line is built on the stack and leaves in one write(), so lines never mix. Values are
 * hostile (paths, headers): they are cut to LOG_VALUE_MAX bytes and escaped, so that no value can end the
 * line, forge a field, or send control sequences to a terminal. What cannot be written is dropped: logging
 * never fails and never takes a lock.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "server/server.h"

struct log;

#define LOG_VALUE_MAX 512u  /* bytes of a value before escaping */
#define LOG_LINE_MAX  4096u /* bytes of a line, PIPE_BUF: a write of it to a pipe is atomic */

enum log_field_type { LOG_FIELD_TEXT, LOG_FIELD_COUNT, LOG_FIELD_NUMBER };

struct log_field {
        const char *key; /* lower case and '_', trusted */
        enum log_field_type type;
        const char *text; /* NULL: the field is left out */
        uint64_t count;
        double number;
};

#define LOG_TEXT(key, value)   ((struct log_field){(key), LOG_FIELD_TEXT, (value), 0, 0})
#define LOG_COUNT(key, value)  ((struct log_field){(key), LOG_FIELD_COUNT, NULL, (value), 0})
#define LOG_NUMBER(key, value) ((struct log_field){(key), LOG_FIELD_NUMBER, NULL, 0, (value)})

/* fd is borrowed. Fails with ERROR_NO_MEMORY. */
int log_new(struct log **ret_log, int fd, enum log_format format, enum log_level level, struct error *error);
void log_free(struct log *log);
DEFINE_CLEANUP(log)

/* event: a fixed phrase; what varies goes into the fields. */
void log_write(struct log *log, enum log_level level, const char *event, const struct log_field *fields,
               size_t n_fields);

/* log_event(log, LOG_LEVEL_INFO, "listening", LOG_TEXT("address", address), LOG_COUNT("port", port)); */
#define log_event(log, level, event, ...)                                                                   \
        log_write((log), (level), (event), (const struct log_field[]){__VA_ARGS__},                         \
                  ARRAY_SIZE(((const struct log_field[]){__VA_ARGS__})))
