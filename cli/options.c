#include "cli/options.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/blob.h"
#include "base/text_distance.h"
#include "cli/value.h"

#define OPTIONS_MAX         64u /* options of one subcommand */
#define OPTION_NAME_MAX     40u /* bytes */
#define OPTIONS_MAX_STRINGS 512u

/* Later sources do not replace what earlier, stronger ones set. */
enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct options {
        enum source set_by[OPTIONS_MAX];
        const char **operands;
        size_t n_operands;
        char *strings[OPTIONS_MAX_STRINGS]; /* owned copies that values point to */
        size_t n_strings;
        bool wants_help;
        char warning[256];
};

int options_new(struct options **ret_options, struct error *error) {
        struct options *options = calloc(1, sizeof(*options));

        if (!options)
                return error_no_memory(error);
        *ret_options = options;
        return 0;
}

void options_free(struct options *options) {
        if (!options)
                return;
        for (size_t i = 0; i < options->n_strings; i++)
                free(options->strings[i]);
        free(options->operands);
        free(options);
}

size_t options_n_operands(const struct options *options) {
        return options->n_operands;
}

const char *options_operand(const struct options *options, size_t index) {
        return options->operands[index];
}

bool options_wants_help(const struct options *options) {
        return options->wants_help;
}

const char *options_warning(const struct options *options) {
        return options->warning;
}

static void consider_nearest(const char **nearest, size_t *distance, const char *word, const char *name) {
        size_t d = text_distance(word, name), n = strlen(word);

        /* "--top" means "--top-k", however far apart they are. */
        if (n >= 3 && strncmp(word, name, n) == 0)
                d = 1;
        if (d < *distance && d <= 1 + strlen(name) / 4) {
                *distance = d;
                *nearest = name;
        }
}

const char *options_nearest(const char *word, const char *const *names) {
        const char *nearest = NULL;
        size_t distance = SIZE_MAX;

        for (; *names; names++)
                consider_nearest(&nearest, &distance, word, *names);
        return nearest;
}

static const struct option *find_option(const struct command *command, const char *name, size_t size) {
        for (const struct option *option = command->options; option->name; option++)
                if (strlen(option->name) == size && memcmp(option->name, name, size) == 0)
                        return option;
        return NULL;
}

static const char *nearest_option(const struct command *command, const char *word) {
        const char *nearest = NULL;
        size_t distance = SIZE_MAX;

        for (const struct option *option = command->options; option->name; option++)
                consider_nearest(&nearest, &distance, word, option->name);
        return nearest;
}

static bool another_command_has(const struct options_input *input, const char *name) {
        for (const struct command *const *command = input->commands; command && *command; command++)
                if (find_option(*command, name, strlen(name)))
                        return true;
        return false;
}

/* Takes ownership of a copy of text. */
static int keep_string(struct options *options, const char **ret_string, const char *text, size_t size,
                       struct error *error) {
        char *copy;

        if (options->n_strings == OPTIONS_MAX_STRINGS)
                return error_set(error, ERROR_LIMIT, "more than %u texts in the options",
                                 OPTIONS_MAX_STRINGS);
        copy = strndup(text, size);
        if (!copy)
                return error_no_memory(error);
        options->strings[options->n_strings++] = copy;
        *ret_string = copy;
        return 0;
}

/* Is this source the one that counts? Where it is, it drops what a weaker one had set. */
static bool source_counts(struct options *options, const struct command *command,
                          const struct option *option, void *values, enum source source) {
        size_t index = (size_t)(option - command->options);

        if (options->set_by[index] > source)
                return false;
        if (options->set_by[index] < source && option->type == OPTION_STRINGS)
                ((struct option_strings *)((char *)values + option->offset))->n = 0;
        options->set_by[index] = source;
        return true;
}

/* where: "--top-k", "SACCADE_TOP_K" or "config.json: top-k", the beginning of what is said about a bad
 * value. */
static int set_value(struct options *options, const struct command *command, const struct option *option,
                     void *values, enum source source, const char *where, const char *text, size_t size,
                     struct error *error) {
        void *field = (char *)values + option->offset;
        const char *string = NULL;
        int r;

        if (!source_counts(options, command, option, values, source))
                return 0;
        r = keep_string(options, &string, text, size, error);
        if (r < 0)
                return r;
        return value_parse(field, option, where, string, error);
}

/* SACCADE_TOP_K */
static void environment_name(char *ret_name, size_t size, const char *option_name) {
        size_t n = (size_t)snprintf(ret_name, size, OPTIONS_ENVIRONMENT "%s", option_name);

        for (size_t i = 0; i < MIN(n, size - 1); i++)
                ret_name[i] = ret_name[i] == '-' ? '_' : (char)toupper((unsigned char)ret_name[i]);
}

static int parse_environment_value(struct options *options, const struct command *command,
                                   const struct option *option, void *values, const char *name,
                                   const char *text, struct error *error) {
        int r;

        if (option->type != OPTION_STRINGS)
                return set_value(options, command, option, values, SOURCE_ENVIRONMENT, name, text,
                                 strlen(text), error);
        for (size_t n;; text += n + 1) {
                n = strcspn(text, ",");
                r = set_value(options, command, option, values, SOURCE_ENVIRONMENT, name, text, n, error);
                if (r < 0 || !text[n])
                        return r;
        }
}

/* Remembers the first variable that is a letter or two away from an option of this command. */
static void warn_of_misspelt(struct options *options, const struct command *command,
                             const struct options_input *input, const char *name, size_t size) {
        char word[OPTION_NAME_MAX + 1], nearest_name[OPTION_NAME_MAX + sizeof(OPTIONS_ENVIRONMENT)];
        const char *nearest;

        if (options->warning[0] || size > OPTION_NAME_MAX)
                return;
        for (size_t i = 0; i < size; i++)
                word[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
        word[size] = 0;
        if (another_command_has(input, word))
                return;
        nearest = nearest_option(command, word);
        if (!nearest || text_distance(word, nearest) > 2)
                return;
        environment_name(nearest_name, sizeof(nearest_name), nearest);
        snprintf(options->warning, sizeof(options->warning),
                 "the variable " OPTIONS_ENVIRONMENT "%.*s is no option and has no effect; did you mean %s?",
                 (int)size, name, nearest_name);
}

static int parse_environment(struct options *options, const struct command *command, void *values,
                             const struct options_input *input, struct error *error) {
        const size_t prefix = strlen(OPTIONS_ENVIRONMENT);
        int r;

        for (char *const *variable = input->environment; variable && *variable; variable++) {
                const char *equals = strchr(*variable, '=');
                bool known = false;

                if (!equals || strncmp(*variable, OPTIONS_ENVIRONMENT, prefix) != 0)
                        continue;
                for (const struct option *option = command->options; option->name && !known; option++) {
                        char name[OPTION_NAME_MAX + sizeof(OPTIONS_ENVIRONMENT)];

                        environment_name(name, sizeof(name), option->name);
                        if (strlen(name) != (size_t)(equals - *variable) ||
                            memcmp(name, *variable, strlen(name)) != 0)
                                continue;
                        known = true;
                        r = parse_environment_value(options, command, option, values, name, equals + 1,
                                                    error);
                        if (r < 0)
                                return r;
                }
                if (!known)
                        warn_of_misspelt(options, command, input, *variable + prefix,
                                         (size_t)(equals - *variable) - prefix);
        }
        return 0;
}

/* A JSON value in the words of a flag; numbers keep their digits. */
static int parse_config_scalar(struct options *options, const struct command *command,
                               const struct option *option, void *values, const char *where,
                               const cJSON *item, struct error *error) {
        char number[40];
        const char *text = number;

        if (cJSON_IsString(item))
                text = item->valuestring;
        else if (cJSON_IsBool(item) && option->type == OPTION_BOOL)
                text = cJSON_IsTrue(item) ? "true" : "false";
        else if (cJSON_IsNumber(item) && option->type != OPTION_BOOL && option->type != OPTION_STRING &&
                 option->type != OPTION_STRINGS && option->type != OPTION_ENUM)
                snprintf(number, sizeof(number), "%.15g", item->valuedouble);
        else
                return error_set(error, ERROR_INVALID, "%s: expected %s", where,
                                 value_expected(option->type));
        return set_value(options, command, option, values, SOURCE_FILE, where, text, strlen(text), error);
}

static int parse_config_item(struct options *options, const struct command *command, void *values,
                             const struct options_input *input, const char *where, const cJSON *item,
                             struct error *error) {
        const struct option *option = find_option(command, item->string, strlen(item->string));
        const cJSON *element;
        char place[512];
        int r;

        snprintf(place, sizeof(place), "%.300s: \"%.100s\"", where, item->string);
        if (strcmp(item->string, "config") == 0)
                return error_set(error, ERROR_INVALID, "%s: a configuration file cannot name another one",
                                 place);
        if (!option) {
                const char *nearest = nearest_option(command, item->string);

                if (another_command_has(input, item->string))
                        return 0;
                return error_set(error, ERROR_INVALID, "%s is no option%s%s%s", place,
                                 nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                                 nearest ? "\"?" : "; see saccade help");
        }
        if (option->type != OPTION_STRINGS || !cJSON_IsArray(item))
                return parse_config_scalar(options, command, option, values, place, item, error);
        cJSON_ArrayForEach(element, item) {
                r = parse_config_scalar(options, command, option, values, place, element, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void cjson_freep(cJSON **item) {
        cJSON_Delete(*item);
}

static size_t line_of(const char *text, const char *at) {
        size_t line = 1;

        for (; text < at; text++)
                line += *text == '\n';
        return line;
}

int options_parse_config(struct options *options, const struct command *command, void *values,
                         const struct options_input *input, const char *where, const void *bytes,
                         size_t size, struct error *error) {
        _cleanup_(cjson_freep) cJSON *root = NULL;
        const char *text = bytes, *end = NULL;
        const cJSON *item;
        int r;

        if (size > OPTIONS_MAX_CONFIG_BYTES)
                return error_set(error, ERROR_LIMIT, "%s: %zu bytes, the limit is %u", where, size,
                                 OPTIONS_MAX_CONFIG_BYTES);
        /* cJSON ends a string at a zero: "a\u0000b" would silently be "a". */
        if (memchr(text, 0, size) || memmem(text, size, "\\u0000", 6))
                return error_set(error, ERROR_INVALID, "%s: a zero character", where);

        root = cJSON_ParseWithLengthOpts(text, size, &end, 0);
        if (!root)
                return error_set(error, ERROR_INVALID, "%s: no valid JSON near line %zu", where,
                                 end && end >= text && end <= text + size ? line_of(text, end) : (size_t)1);
        for (; end < text + size; end++)
                if (!strchr(" \t\r\n", *end))
                        return error_set(error, ERROR_INVALID,
                                         "%s: line %zu: something follows the JSON value", where,
                                         line_of(text, end));
        if (!cJSON_IsObject(root))
                return error_set(error, ERROR_INVALID,
                                 "%s: expected an object of options, such as {\"threads\": 4}", where);

        cJSON_ArrayForEach(item, root) {
                for (const cJSON *before = root->child; before != item; before = before->next)
                        if (strcmp(before->string, item->string) == 0)
                                return error_set(error, ERROR_INVALID, "%s: \"%.100s\" is given twice",
                                                 where, item->string);
                r = parse_config_item(options, command, values, input, where, item, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int unknown_flag(const struct command *command, const char *word, size_t size, struct error *error) {
        char name[OPTION_NAME_MAX + 1];
        const char *nearest = NULL;

        if (size <= OPTION_NAME_MAX) {
                memcpy(name, word, size);
                name[size] = 0;
                nearest = nearest_option(command, name);
        }
        if (nearest)
                return error_set(error, ERROR_INVALID, "unknown option --%.*s; did you mean --%s?",
                                 (int)size, word, nearest);
        return error_set(error, ERROR_INVALID, "unknown option --%.*s; see saccade %s --help",
                         (int)MIN(size, (size_t)100), word, command->name);
}

/* One word of the command line that begins with two dashes; *index moves on where it takes the next word. */
static int parse_flag(struct options *options, const struct command *command, void *values,
                      const struct options_input *input, int *index, struct error *error) {
        const char *word = input->argv[*index] + 2, *equals = strchr(word, '='), *text;
        size_t size = equals ? (size_t)(equals - word) : strlen(word);
        const struct option *option = find_option(command, word, size);
        char where[OPTION_NAME_MAX + 3];

        if (!option)
                return unknown_flag(command, word, size, error);
        snprintf(where, sizeof(where), "--%s", option->name);
        if (equals)
                text = equals + 1;
        else if (option->type == OPTION_BOOL)
                text = "true";
        else if (*index + 1 < input->argc)
                text = input->argv[++*index];
        else
                return error_set(error, ERROR_INVALID, "%s: a value must follow, %s %s", where, where,
                                 option->argument);
        return set_value(options, command, option, values, SOURCE_FLAG, where, text, strlen(text), error);
}

static int parse_command_line(struct options *options, const struct command *command, void *values,
                              const struct options_input *input, struct error *error) {
        bool only_operands = false;
        int r;

        options->operands = calloc((size_t)input->argc + 1, sizeof(*options->operands));
        if (!options->operands)
                return error_no_memory(error);
        for (int i = 0; i < input->argc; i++) {
                const char *word = input->argv[i];

                if (only_operands || word[0] != '-' || word[1] == 0) {
                        options->operands[options->n_operands++] = word;
                } else if (strcmp(word, "--") == 0) {
                        only_operands = true;
                } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
                        options->wants_help = true;
                        return 0;
                } else if (word[1] != '-') {
                        return error_set(
                                error, ERROR_INVALID,
                                "unknown option %.100s; options begin with two dashes, a file of that "
                                "name is ./%.100s",
                                word, word);
                } else {
                        r = parse_flag(options, command, values, input, &i, error);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int check_operands(const struct options *options, const struct command *command,
                          struct error *error) {
        if (options->n_operands < command->min_operands)
                return error_set(error, ERROR_INVALID, "%s is missing; see saccade %s --help",
                                 command->operands, command->name);
        if (options->n_operands > command->max_operands)
                return error_set(error, ERROR_INVALID,
                                 "'%.200s' is one argument too many; see saccade %s --help",
                                 options->operands[command->max_operands], command->name);
        return 0;
}

/* Every command has --config; its value is the one string that no field holds. */
static const char *config_path(const struct command *command, const void *values) {
        const struct option *option = find_option(command, "config", strlen("config"));

        return option ? *(const char *const *)((const char *)values + option->offset) : NULL;
}

int options_parse(struct options **ret_options, const struct command *command, void *values,
                  const struct options_input *input, struct error *error) {
        _cleanup_(options_freep) struct options *options = NULL;
        const char *config;
        int r;

        r = options_new(&options, error);
        if (r < 0)
                return r;
        r = parse_command_line(options, command, values, input, error);
        if (r < 0)
                return r;
        if (!options->wants_help) {
                r = parse_environment(options, command, values, input, error);
                if (r < 0)
                        return r;
                config = config_path(command, values);
                if (config) {
                        _cleanup_(blob_release) struct blob blob = BLOB_NONE;

                        r = blob_read(&blob, config, OPTIONS_MAX_CONFIG_BYTES, error);
                        if (r < 0)
                                return error_prefix(error, r, "--config");
                        r = options_parse_config(options, command, values, input, config, blob.bytes,
                                                 blob.size, error);
                        if (r < 0)
                                return r;
                }
                r = check_operands(options, command, error);
                if (r < 0)
                        return r;
        }
        *ret_options = steal_ptr(&options);
        return 0;
}
