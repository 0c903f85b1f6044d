#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/common.h"
#include "cli/help.h"
#include "engine/cpu.h"

static const struct command *const commands[] = {
        &COMMAND_SERVE,   &COMMAND_CLASSIFY, &COMMAND_INFER, &COMMAND_BENCH,
        &COMMAND_INSPECT, &COMMAND_QUANTIZE, &COMMAND_TOP,   NULL,
};

static const struct command *find_command(const char *name) {
        for (size_t i = 0; commands[i]; i++)
                if (strcmp(commands[i]->name, name) == 0)
                        return commands[i];
        return NULL;
}

static int unknown_command(const char *name) {
        const char *names[ARRAY_SIZE(commands)] = {0}, *nearest;
        struct error error = ERROR_NONE;

        for (size_t i = 0; commands[i]; i++)
                names[i] = commands[i]->name;
        nearest = options_nearest(name, names);
        error_set(&error, ERROR_INVALID, "'%.100s' is no command; %s%s%s", name,
                  nearest ? "did you mean saccade " : "saccade --help lists them", nearest ? nearest : "",
                  nearest ? "?" : "");
        return common_fail(NULL, EXIT_USAGE, &error);
}

/*
 * A file that is opened while stdin, stdout or stderr is closed would take its number, and diagnostics would
 * then be written into it. stdout gets a descriptor that cannot be written, so that lost results are
 * noticed.
 */
static void fill_standard_descriptors(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
                    open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) < 0)
                        return;
}

static int print_command_help(const struct command *command) {
        struct error error = ERROR_NONE;

        if (help_print_command(stdout, command, &error) < 0)
                return common_fail(command->name, EXIT_FAILED, &error);
        return EXIT_DONE;
}

static int run_command(const struct command *command, int argc, char **argv) {
        _cleanup_(freep) void *values = calloc(1, command->values_bytes);
        _cleanup_(options_freep) struct options *options = NULL;
        const struct options_input input = {
                .argc = argc, .argv = argv, .environment = environ, .commands = commands};
        struct error error = ERROR_NONE;
        int r;

        if (!values) {
                error_no_memory(&error);
                return common_fail(command->name, EXIT_FAILED, &error);
        }
        command->values_init(values);
        r = options_parse(&options, command, values, &input, &error);
        if (r < 0)
                return common_fail(command->name, r == ERROR_NO_MEMORY ? EXIT_FAILED : EXIT_USAGE, &error);
        if (options_wants_help(options))
                return print_command_help(command);
        if (*options_warning(options)) {
                error_set(&error, ERROR_INVALID, "%s", options_warning(options));
                common_fail(command->name, EXIT_DONE, &error);
        }
        return command->run(values, options);
}

static int dispatch(int argc, char **argv) {
        const struct command *command;

        if (argc < 2) {
                help_print_commands(stderr, commands);
                return EXIT_USAGE;
        }
        command = find_command(argv[1]);
        if (command)
                return run_command(command, argc - 2, argv + 2);
        if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
                printf("saccade %s\n", SACCADE_VERSION);
                return EXIT_DONE;
        }
        if (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0 && strcmp(argv[1], "help") != 0)
                return unknown_command(argv[1]);
        if (argc < 3) {
                help_print_commands(stdout, commands);
                return EXIT_DONE;
        }
        command = find_command(argv[2]);
        return command ? print_command_help(command) : unknown_command(argv[2]);
}

/* A full disk or a reader that went away shows only when the last bytes are written. */
static int close_stdout(int status) {
        struct error error = ERROR_NONE;
        bool failed = ferror(stdout);

        errno = 0;
        if (fclose(stdout) == 0 && !failed)
                return status;
        error_set(&error, ERROR_IO, "the results could not be written%s%s", errno ? ": " : "",
                  errno ? strerror(errno) : "");
        return common_fail(NULL, status == EXIT_DONE ? EXIT_FAILED : (enum exit_status)status, &error);
}

int main(int argc, char **argv) {
        const struct command *command = argc >= 2 ? find_command(argv[1]) : NULL;

        if (command && command->runs_engine)
                cpu_wait_passively(argv);
        (void)prctl(PR_SET_NAME, "saccade"); /* after /proc/self/exe was executed, ps would say "exe" */

        fill_standard_descriptors();
        setlocale(LC_CTYPE, "");
        signal(SIGPIPE, SIG_IGN); /* a write fails instead, and is reported */
        return close_stdout(dispatch(argc, argv));
}
