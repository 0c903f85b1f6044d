/* The JSON file of --config, with one option of each type. */
#include <stdint.h>

#include "cli/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct values {
        const char *string;
        struct option_strings strings;
        unsigned number, milliseconds, seconds;
        size_t count, bytes;
        double real;
        bool boolean;
        int choice;
};

static const char *const choices[] = {"text", "json", NULL};

static const struct option table[] = {
        {.name = "port-file", .type = OPTION_STRING, .offset = offsetof(struct values, string)},
        {.name = "model", .type = OPTION_STRINGS, .offset = offsetof(struct values, strings)},
        {.name = "threads", .type = OPTION_UNSIGNED, .max = 64, .offset = offsetof(struct values, number)},
        {.name = "timeout", .type = OPTION_MILLISECONDS, .offset = offsetof(struct values, milliseconds)},
        {.name = "idle", .type = OPTION_SECONDS, .min = 1, .offset = offsetof(struct values, seconds)},
        {.name = "batch", .type = OPTION_COUNT, .offset = offsetof(struct values, count)},
        {.name = "max-body", .type = OPTION_SIZE, .offset = offsetof(struct values, bytes)},
        {.name = "real", .type = OPTION_REAL, .offset = offsetof(struct values, real)},
        {.name = "exact", .type = OPTION_BOOL, .offset = offsetof(struct values, boolean)},
        {.name = "log-format",
         .type = OPTION_ENUM,
         .choices = choices,
         .offset = offsetof(struct values, choice)},
        {0},
};

static const struct command command = {
        .name = "fuzz", .options = table, .values_bytes = sizeof(struct values)};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(options_freep) struct options *options = NULL;
        const struct command *const commands[] = {&command, NULL};
        const struct options_input input = {.commands = commands};
        struct values values = {0};
        struct error error = ERROR_NONE;

        if (options_new(&options, &error) < 0)
                return 0;
        options_parse_config(options, &command, &values, &input, "config.json", bytes, size, &error);
        return 0;
}
