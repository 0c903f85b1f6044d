#include "cli/top/exposition.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_MAX 64u /* bytes; the longest double that is printed in full by %g has 24 */

struct label {
        const char *name, *value;
};

struct exposition {
        char *text; /* names and values are ended and unescaped in place */
        struct exposition_sample *samples;
        size_t n_samples, max_samples;
        struct label *labels;
        size_t n_labels, max_labels;
};

/* at: the next byte of the text, which ends in a zero. */
struct cursor {
        char *at;
        size_t line;
};

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static bool is_name_start(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static void skip_blanks(struct cursor *cursor) {
        while (is_blank(*cursor->at))
                cursor->at++;
}

/* Up to the newline, or the end. */
static void skip_line(struct cursor *cursor) {
        cursor->at += strcspn(cursor->at, "\n");
}

static int malformed(const struct cursor *cursor, const char *what, struct error *error) {
        return error_set(error, ERROR_INVALID, "line %zu: %s", cursor->line, what);
}

/* Returns the byte after the name, which the caller ends there when that byte is read; NULL: no name. */
static char *take_name(struct cursor *cursor, bool colons) {
        if (!is_name_start(*cursor->at) && !(colons && *cursor->at == ':'))
                return NULL;
        while (is_name_start(*cursor->at) || is_digit(*cursor->at) || (colons && *cursor->at == ':'))
                cursor->at++;
        return cursor->at;
}

/* Makes room for one element more. */
static int grow(void *array, size_t n, size_t *max, size_t size, struct error *error) {
        size_t larger = MAX(*max * 2, (size_t)256);
        void **elements = array, *grown;

        if (n < *max)
                return 0;
        grown = reallocarray(*elements, larger, size);
        if (!grown)
                return error_no_memory(error);
        *elements = grown;
        *max = larger;
        return 0;
}

/* After the opening quote; ends behind the closing one. */
static int take_quoted(struct cursor *cursor, const char **ret_value, struct error *error) {
        char *to = cursor->at, *begin = cursor->at;

        for (;; cursor->at++) {
                char c = *cursor->at;

                if (c == '"')
                        break;
                if (c == 0 || c == '\n')
                        return malformed(cursor, "the value of a label has no closing quote", error);
                if (c == '\\') {
                        c = *++cursor->at;
                        if (c == 'n')
                                c = '\n';
                        else if (c != '"' && c != '\\')
                                return malformed(cursor, "an escape is none of \\\\, \\\" and \\n", error);
                }
                *to++ = c;
        }
        cursor->at++;
        *to = 0;
        *ret_value = begin;
        return 0;
}

static int take_label(struct exposition *e, struct cursor *cursor, struct error *error) {
        char *name = cursor->at, *end = take_name(cursor, false);
        const char *value = NULL;
        int r;

        if (!end)
                return malformed(cursor, "a label has no name", error);
        skip_blanks(cursor);
        if (*cursor->at != '=')
                return malformed(cursor, "no '=' after the name of a label", error);
        cursor->at++;
        *end = 0;
        skip_blanks(cursor);
        if (*cursor->at != '"')
                return malformed(cursor, "the value of a label has no quotes", error);
        cursor->at++;
        r = take_quoted(cursor, &value, error);
        if (r == 0)
                r = grow(&e->labels, e->n_labels, &e->max_labels, sizeof(*e->labels), error);
        if (r < 0)
                return r;
        e->labels[e->n_labels++] = (struct label){name, value};
        return 0;
}

/* After '{'; ends behind '}'. */
static int take_labels(struct exposition *e, struct cursor *cursor, struct exposition_sample *sample,
                       struct error *error) {
        int r;

        for (;;) {
                skip_blanks(cursor);
                if (*cursor->at == '}')
                        break;
                if (sample->n_labels == EXPOSITION_MAX_LABELS)
                        return error_set(error, ERROR_LIMIT, "line %zu: more than %u labels", cursor->line,
                                         EXPOSITION_MAX_LABELS);
                r = take_label(e, cursor, error);
                if (r < 0)
                        return r;
                sample->n_labels++;
                skip_blanks(cursor);
                if (*cursor->at == ',')
                        cursor->at++;
                else if (*cursor->at != '}')
                        return malformed(cursor, "neither ',' nor '}' after a label", error);
        }
        cursor->at++;
        return 0;
}

static bool is_special(const char *text) {
        static const char *const words[] = {"NaN", "Inf", "+Inf", "-Inf"};

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strcasecmp(text, words[i]) == 0)
                        return true;
        return false;
}

/* strtod() alone would take hexadecimal digits and a payload of NaN as well. */
static int take_number(struct cursor *cursor, double *ret_value, const char *what, struct error *error) {
        char *begin = cursor->at, *end = begin + strcspn(begin, " \t\n"), *stop = NULL, after = *end;
        double value;
        bool good;

        if ((size_t)(end - begin) > NUMBER_MAX)
                return malformed(cursor, what, error);
        *end = 0;
        value = strtod(begin, &stop);
        good = stop == end && stop != begin &&
               (strspn(begin, "0123456789+-.eE") == (size_t)(end - begin) || is_special(begin));
        *end = after;
        if (!good)
                return malformed(cursor, what, error);
        cursor->at = end;
        *ret_value = value;
        return 0;
}

static int take_sample(struct exposition *e, struct cursor *cursor, struct error *error) {
        struct exposition_sample sample = {.name = cursor->at, .first_label = e->n_labels};
        char *name_end = take_name(cursor, true);
        double timestamp;
        int r;

        if (!name_end)
                return malformed(cursor, "a line begins with no name of a metric", error);
        skip_blanks(cursor);
        if (*cursor->at == '{') {
                cursor->at++;
                r = take_labels(e, cursor, &sample, error);
                if (r < 0)
                        return r;
        } else if (cursor->at == name_end)
                return malformed(cursor, "the name of a metric is followed by no value", error);
        skip_blanks(cursor);
        r = take_number(cursor, &sample.value, "a value is no number", error);
        if (r < 0)
                return r;
        skip_blanks(cursor);
        if (is_digit(*cursor->at) || *cursor->at == '-') {
                r = take_number(cursor, &timestamp, "a timestamp is no number", error);
                if (r < 0)
                        return r;
                skip_blanks(cursor);
        }
        if (*cursor->at == '#')
                skip_line(cursor);
        if (*cursor->at != 0 && *cursor->at != '\n')
                return malformed(cursor, "something follows the value", error);
        *name_end = 0;

        if (e->n_samples == EXPOSITION_MAX_SAMPLES)
                return error_set(error, ERROR_LIMIT, "more than %u samples", EXPOSITION_MAX_SAMPLES);
        r = grow(&e->samples, e->n_samples, &e->max_samples, sizeof(*e->samples), error);
        if (r < 0)
                return r;
        e->samples[e->n_samples++] = sample;
        return 0;
}

int exposition_parse(struct exposition **ret_exposition, const char *text, size_t size,
                     struct error *error) {
        _cleanup_(exposition_freep) struct exposition *e = NULL;
        struct cursor cursor;
        int r;

        if (size > EXPOSITION_MAX_BYTES)
                return error_set(error, ERROR_LIMIT, "more than %zu bytes", EXPOSITION_MAX_BYTES);
        if (memchr(text, 0, size))
                return error_set(error, ERROR_INVALID, "no text: it has bytes that are zero");
        e = calloc(1, sizeof(*e));
        if (!e)
                return error_no_memory(error);
        e->text = strndup(text, size);
        if (!e->text)
                return error_no_memory(error);

        cursor = (struct cursor){.at = e->text, .line = 1};
        while (*cursor.at) {
                skip_blanks(&cursor);
                if (*cursor.at == '#')
                        skip_line(&cursor);
                else if (*cursor.at != '\n' && *cursor.at) {
                        r = take_sample(e, &cursor, error);
                        if (r < 0)
                                return r;
                }
                if (*cursor.at == '\n') {
                        cursor.at++;
                        cursor.line++;
                }
        }

        *ret_exposition = steal_ptr(&e);
        return 0;
}

void exposition_free(struct exposition *exposition) {
        free(exposition->text);
        free(exposition->samples);
        free(exposition->labels);
        free(exposition);
}

size_t exposition_n_samples(const struct exposition *exposition) {
        return exposition->n_samples;
}

const struct exposition_sample *exposition_sample(const struct exposition *exposition, size_t index) {
        return &exposition->samples[index];
}

const char *exposition_label(const struct exposition *exposition, const struct exposition_sample *sample,
                             const char *name) {
        for (size_t i = 0; i < sample->n_labels; i++)
                if (strcmp(exposition->labels[sample->first_label + i].name, name) == 0)
                        return exposition->labels[sample->first_label + i].value;
        return NULL;
}

const struct exposition_sample *exposition_find(const struct exposition *exposition, const char *name) {
        for (size_t i = 0; i < exposition->n_samples; i++)
                if (strcmp(exposition->samples[i].name, name) == 0)
                        return &exposition->samples[i];
        return NULL;
}
