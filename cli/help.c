#include "cli/help.h"

#include <string.h>

#include "cli/terminal.h"
#include "cli/value.h"

#define HELP_MAX_WIDTH 100u /* columns; longer lines read badly */

static size_t help_width(FILE *file) {
        size_t width = terminal_width(file);

        return MIN(width, (size_t)HELP_MAX_WIDTH);
}

static void print_heading(FILE *file, const char *heading) {
        fprintf(file, "\n%s%s%s\n", terminal_style(file, TERMINAL_BOLD), heading,
                terminal_style(file, TERMINAL_PLAIN));
}

void help_print_commands(FILE *file, const struct command *const *commands) {
        size_t width = help_width(file), column = 0;

        fprintf(file, "Usage: saccade COMMAND [OPTION]... [ARGUMENT]...\n\n");
        terminal_print_wrapped(
                file,
                "Serves image classifiers over HTTP on CPUs, and shows what they do. Without "
                "--model, every command uses EfficientNet-Lite0, which is part of the program.",
                0, 0, width);
        print_heading(file, "Commands");
        for (size_t i = 0; commands[i]; i++)
                column = MAX(column, strlen(commands[i]->name) + 4);
        for (size_t i = 0; commands[i]; i++) {
                fprintf(file, "  %-*s", (int)(column - 2), commands[i]->name);
                terminal_print_wrapped(file, commands[i]->summary, column, column, width);
        }
        print_heading(file, "Example");
        fputs("  saccade serve --listen 127.0.0.1:8080 &\n"
              "  curl --data-binary @cat.jpg http://127.0.0.1:8080/v1/classify\n\n",
              file);
        terminal_print_wrapped(
                file,
                "Every option is also an environment variable (--top-k: SACCADE_TOP_K) and a key of "
                "the JSON file given by --config (\"top-k\"); flags beat the environment, that "
                "beats the file. Exit status: 0 done, 1 failed, 2 wrong usage.",
                0, 0, width);
        fputs("\nsaccade COMMAND --help tells all of one command; saccade --version the version.\n", file);
}

/* "--top-k K", "--json" */
static size_t option_head(char *ret_head, size_t size, const struct option *option) {
        return (size_t)snprintf(ret_head, size, "--%s%s%s", option->name, option->argument ? " " : "",
                                option->argument ? option->argument : "");
}

static void print_option(FILE *file, const struct option *option, const void *values, size_t column,
                         size_t width) {
        char head[80], value[128], text[768];
        const char *default_text = option->default_text;
        size_t n;

        if (!default_text) {
                value_format(value, sizeof(value), option, (const char *)values + option->offset);
                default_text = value;
        }
        option_head(head, sizeof(head), option);
        n = (size_t)snprintf(text, sizeof(text), "%s", option->help);
        for (size_t i = 0; option->choices && option->choices[i] && n < sizeof(text); i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? ", " : ": ",
                                      option->choices[i]);
        if (*default_text && n < sizeof(text))
                snprintf(text + n, sizeof(text) - n, " (default: %s)", default_text);
        fprintf(file, "  %-*s", (int)(column - 2), head);
        terminal_print_wrapped(file, text, column, column, width);
}

static void print_lines_indented(FILE *file, const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                fprintf(file, "  %.*s\n", (int)n, text);
                text += n + (text[n] == '\n');
        }
}

int help_print_command(FILE *file, const struct command *command, struct error *error) {
        _cleanup_(freep) void *values = calloc(1, command->values_bytes);
        size_t width = help_width(file), column = 0;
        char head[80];

        if (!values)
                return error_no_memory(error);
        if (command->values_init)
                command->values_init(values);

        fprintf(file, "Usage: saccade %s [OPTION]...%s%s\n\n", command->name, command->operands ? " " : "",
                command->operands ? command->operands : "");
        terminal_print_wrapped(file, command->description, 0, 0, width);
        print_heading(file, "Options");
        for (const struct option *option = command->options; option->name; option++)
                column = MAX(column, option_head(head, sizeof(head), option) + 4);
        for (const struct option *option = command->options; option->name; option++)
                print_option(file, option, values, column, width);
        fprintf(file, "  %-*sthis text\n", (int)(column - 2), "--help");
        print_heading(file, "Example");
        print_lines_indented(file, command->example);
        return 0;
}
