#include "cli/value.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
        const char *suffix;
        uint64_t factor;
};

/* The last of equal ones is the one that is written. */
static const struct unit size_units[] = {
        {"", 1},
        {"Ki", UINT64_C(1) << 10},
        {"K", UINT64_C(1) << 10},
        {"Mi", UINT64_C(1) << 20},
        {"M", UINT64_C(1) << 20},
        {"Gi", UINT64_C(1) << 30},
        {"G", UINT64_C(1) << 30},
        {"Ti", UINT64_C(1) << 40},
        {"T", UINT64_C(1) << 40},
        {NULL, 0},
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const struct unit millisecond_units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {NULL, 0}};

const char *value_expected(enum option_type type) {
        switch (type) {
        case OPTION_STRING:
        case OPTION_ENUM:
                return "a string";
        case OPTION_STRINGS:
                return "a string or an array of strings";
        case OPTION_UNSIGNED:
        case OPTION_COUNT:
                return "a whole number";
        case OPTION_SIZE:
                return "a size such as 512K, 64M or 1G";
        case OPTION_REAL:
                return "a number";
        case OPTION_MILLISECONDS:
        case OPTION_SECONDS:
                return "a time such as 500ms, 5s or 2m";
        case OPTION_BOOL:
                return "true or false";
        }
        return "";
}

static int bad_value(const struct option *option, const char *where, const char *text, struct error *error) {
        return error_set(error, ERROR_INVALID, "%s '%.200s': expected %s", where, text,
                         value_expected(option->type));
}

/* Only digits and one of the units: what strtoull() takes beyond that (signs, space, hexadecimal) is no
 * number here. */
static int number_parse(uint64_t *ret_number, const struct option *option, const char *where,
                        const struct unit *units, const char *text, struct error *error) {
        size_t digits = strspn(text, "0123456789");
        uint64_t number;

        if (digits == 0)
                return bad_value(option, where, text, error);
        errno = 0;
        number = strtoull(text, NULL, 10);
        if (errno != 0)
                return error_set(error, ERROR_INVALID, "%s '%.200s': too large", where, text);
        for (; units->suffix; units++)
                if (strcasecmp(text + digits, units->suffix) == 0)
                        break;
        if (!units->suffix)
                return bad_value(option, where, text, error);
        if (__builtin_mul_overflow(number, units->factor, &number))
                return error_set(error, ERROR_INVALID, "%s '%.200s': too large", where, text);
        *ret_number = number;
        return 0;
}

static void bound_format(char *ret_text, size_t size, const struct option *option, double bound) {
        if (option->type == OPTION_SECONDS)
                snprintf(ret_text, size, "%.0fs", bound);
        else if (option->type == OPTION_MILLISECONDS && fmod(bound, 1000) == 0 && bound > 0)
                snprintf(ret_text, size, "%.0fs", bound / 1000);
        else if (option->type == OPTION_MILLISECONDS)
                snprintf(ret_text, size, "%.0fms", bound);
        else
                snprintf(ret_text, size, "%.15g", bound);
}

static int check_range(const struct option *option, const char *where, const char *text, double number,
                       double type_max, struct error *error) {
        double max = option->max > 0 ? option->max : type_max;
        char min_text[32], max_text[32];

        if (number >= option->min && number <= max)
                return 0;
        bound_format(min_text, sizeof(min_text), option, option->min);
        bound_format(max_text, sizeof(max_text), option, max);
        return error_set(error, ERROR_INVALID, "%s '%.200s': must be %s to %s", where, text, min_text,
                         max_text);
}

static int unsigned_parse(void *field, const struct option *option, const char *where, const char *text,
                          struct error *error) {
        bool time = option->type != OPTION_UNSIGNED;
        uint64_t number;
        int r;

        r = number_parse(&number, option, where, time ? millisecond_units : no_units, text, error);
        if (r < 0)
                return r;
        if (option->type == OPTION_SECONDS) {
                if (number % 1000 != 0)
                        return error_set(error, ERROR_INVALID, "%s '%.200s': give whole seconds, such as 5s",
                                         where, text);
                number /= 1000;
        }
        r = check_range(option, where, text, (double)number, (double)UINT_MAX, error);
        if (r < 0)
                return r;
        *(unsigned *)field = (unsigned)number;
        return 0;
}

static int size_parse(void *field, const struct option *option, const char *where, const char *text,
                      struct error *error) {
        uint64_t number;
        int r;

        r = number_parse(&number, option, where, option->type == OPTION_SIZE ? size_units : no_units, text,
                         error);
        if (r < 0)
                return r;
        /* The largest double below 2^63: no size that is meant is near it. */
        r = check_range(option, where, text, (double)number, 0x1.fffffffffffffp62, error);
        if (r < 0)
                return r;
        *(size_t *)field = (size_t)number;
        return 0;
}

static int real_parse(void *field, const struct option *option, const char *where, const char *text,
                      struct error *error) {
        double number;
        char *end;
        int r;

        if (text[strspn(text, "0123456789.eE+-")] != 0)
                return bad_value(option, where, text, error);
        number = strtod(text, &end);
        if (end == text || *end || !isfinite(number))
                return bad_value(option, where, text, error);
        r = check_range(option, where, text, number, HUGE_VAL, error);
        if (r < 0)
                return r;
        *(double *)field = number;
        return 0;
}

static int bool_parse(void *field, const struct option *option, const char *where, const char *text,
                      struct error *error) {
        static const struct {
                const char *word;
                bool value;
        } words[] = {{"true", true}, {"false", false}, {"1", true},  {"0", false},
                     {"yes", true},  {"no", false},    {"on", true}, {"off", false}};

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strcasecmp(text, words[i].word) == 0) {
                        *(bool *)field = words[i].value;
                        return 0;
                }
        return bad_value(option, where, text, error);
}

static int enum_parse(void *field, const struct option *option, const char *where, const char *text,
                      struct error *error) {
        const char *nearest;
        char list[256] = "";
        size_t n = 0;

        for (int i = 0; option->choices[i]; i++) {
                if (strcmp(text, option->choices[i]) == 0) {
                        *(int *)field = i;
                        return 0;
                }
                n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i > 0 ? ", " : "",
                                      option->choices[i]);
                n = MIN(n, sizeof(list) - 1);
        }
        nearest = options_nearest(text, option->choices);
        return error_set(error, ERROR_INVALID, "%s '%.200s': expected one of %s%s%s%s", where, text, list,
                         nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static int string_parse(void *field, const char *where, const char *text, struct error *error) {
        if (!*text)
                return error_set(error, ERROR_INVALID, "%s: an empty value; leave it out instead", where);
        *(const char **)field = text;
        return 0;
}

static int strings_add(struct option_strings *strings, const char *where, const char *text,
                       struct error *error) {
        if (!*text)
                return error_set(error, ERROR_INVALID, "%s: an empty value; leave it out instead", where);
        if (strings->n == OPTIONS_MAX_REPEATS)
                return error_set(error, ERROR_LIMIT, "%s: more than %u values", where, OPTIONS_MAX_REPEATS);
        strings->values[strings->n++] = text;
        return 0;
}

int value_parse(void *field, const struct option *option, const char *where, const char *text,
                struct error *error) {
        switch (option->type) {
        case OPTION_STRING:
                return string_parse(field, where, text, error);
        case OPTION_STRINGS:
                return strings_add(field, where, text, error);
        case OPTION_UNSIGNED:
        case OPTION_MILLISECONDS:
        case OPTION_SECONDS:
                return unsigned_parse(field, option, where, text, error);
        case OPTION_COUNT:
        case OPTION_SIZE:
                return size_parse(field, option, where, text, error);
        case OPTION_REAL:
                return real_parse(field, option, where, text, error);
        case OPTION_BOOL:
                return bool_parse(field, option, where, text, error);
        case OPTION_ENUM:
                return enum_parse(field, option, where, text, error);
        }
        return error_set(error, ERROR_INTERNAL, "%s: no such type", where);
}

static void with_unit(char *ret_text, size_t size, uint64_t number, const struct unit *units) {
        const struct unit *best = units;

        for (; units->suffix; units++)
                if (number > 0 && number % units->factor == 0 && units->factor >= best->factor)
                        best = units;
        snprintf(ret_text, size, "%ju%s", (uintmax_t)(number / best->factor), best->suffix);
}

void value_format(char *ret_text, size_t size, const struct option *option, const void *field) {
        ret_text[0] = 0;
        switch (option->type) {
        case OPTION_STRING:
                if (*(const char *const *)field)
                        snprintf(ret_text, size, "%s", *(const char *const *)field);
                break;
        case OPTION_STRINGS:
        case OPTION_BOOL:
                break;
        case OPTION_UNSIGNED:
                if (*(const unsigned *)field > 0)
                        snprintf(ret_text, size, "%u", *(const unsigned *)field);
                break;
        case OPTION_MILLISECONDS:
                with_unit(ret_text, size, *(const unsigned *)field, millisecond_units);
                break;
        case OPTION_SECONDS:
                with_unit(ret_text, size, (uint64_t) * (const unsigned *)field * 1000, millisecond_units);
                break;
        case OPTION_COUNT:
                snprintf(ret_text, size, "%zu", *(const size_t *)field);
                break;
        case OPTION_SIZE:
                if (*(const size_t *)field > 0)
                        with_unit(ret_text, size, *(const size_t *)field, size_units);
                break;
        case OPTION_REAL:
                snprintf(ret_text, size, "%.6g", *(const double *)field);
                break;
        case OPTION_ENUM:
                snprintf(ret_text, size, "%s", option->choices[*(const int *)field]);
                break;
        }
}
