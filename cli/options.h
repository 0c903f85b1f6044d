#pragma once
/*
 * options: one const table says what a subcommand takes, and where each value goes.
 *
 * Every option is a flag (--top-k 3 or --top-k=3), an environment variable (SACCADE_TOP_K) and a key of the
 * JSON file that --config or SACCADE_CONFIG names ("top-k": 3). Flags beat the environment, that beats the
 * file, that beats the default: the value that the values struct was initialised with.
 *
 * All of this comes from outside; whatever is unknown, repeated where it must not be, or out of range is an
 * error whose text says what to change. Values are plain fields of a struct of the subcommand's own, so that
 * nothing behind the parser looks up names.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

#define OPTIONS_MAX_CONFIG_BYTES (64u << 10) /* a file that sets every option needs 2 KiB */
#define OPTIONS_MAX_REPEATS      64u         /* values of one repeated option */
#define OPTIONS_ENVIRONMENT      "SACCADE_"

enum option_type {
        OPTION_STRING,       /* const char * */
        OPTION_STRINGS,      /* struct option_strings: repeated flag, JSON array, separated by ',' in the
                              * environment */
        OPTION_UNSIGNED,     /* unsigned */
        OPTION_COUNT,        /* size_t */
        OPTION_SIZE,         /* size_t; suffixes K, M, G, T are powers of 1024 */
        OPTION_REAL,         /* double */
        OPTION_MILLISECONDS, /* unsigned; suffixes ms, s, m; milliseconds without one */
        OPTION_SECONDS,      /* unsigned, in the struct; written as OPTION_MILLISECONDS */
        OPTION_BOOL,         /* bool; the flag alone says true */
        OPTION_ENUM,         /* int-sized: the index in choices */
};

struct option_strings {
        const char *values[OPTIONS_MAX_REPEATS];
        size_t n;
};

struct option {
        const char *name;         /* "top-k"; NULL ends the table */
        const char *argument;     /* "K", for the help; NULL for OPTION_BOOL */
        const char *help;         /* one sentence, no full stop */
        const char *default_text; /* NULL: the value that stands in the values struct, if it says anything */
        const char *const *choices; /* OPTION_ENUM: NULL-terminated */
        size_t offset;              /* of the field in the values struct */
        double min, max;            /* numbers, in the unit of the field; both 0: only what fits */
        enum option_type type;
};

struct options;

struct command {
        const char *name;
        const char *summary;     /* one line, for the list of commands */
        const char *description; /* a paragraph; it is wrapped */
        const char *operands;    /* "IMAGE...", or NULL where there are none */
        const char *example;     /* shell lines, each ends in a newline */
        const struct option *options;
        size_t min_operands, max_operands;
        size_t values_bytes;
        void (*values_init)(
                void *values); /* writes the defaults; values is all zero before; NULL: that is all */
        /* Returns the exit status. Prints its own errors. */
        int (*run)(const void *values, const struct options *options);
        bool runs_engine; /* in this process, with OpenMP */
};

/* Where the texts come from; argv[0] is the first word after the subcommand's name. */
struct options_input {
        int argc;
        char **argv;
        char *const *environment; /* "NAME=value", NULL-terminated */
        const struct command *const
                *commands; /* all there are, NULL-terminated: an environment or a file may
                            * serve several, so another one's options are no mistake */
};

/*
 * values: command->values_bytes, initialised; on failure in an unspecified state. The strings in it live as
 * long as *ret_options and input. Fails with ERROR_INVALID (the text names the option, where it was given
 * and what to change), ERROR_NO_MEMORY, or those of blob_read() for the file.
 */
int options_parse(struct options **ret_options, const struct command *command, void *values,
                  const struct options_input *input, struct error *error);
void options_free(struct options *options);
DEFINE_CLEANUP(options)

/* What stood beside the flags. */
size_t options_n_operands(const struct options *options);
const char *options_operand(const struct options *options, size_t index);

/* --help or -h was given: nothing else was looked at. */
bool options_wants_help(const struct options *options);

/* Warning about a variable that looks like a misspelt option, or "" . Kubernetes sets variables that begin
 * with a service's name, so that an unknown one cannot be an error. */
const char *options_warning(const struct options *options);

/* Reads the keys of a JSON file; `where` names it in errors. options_parse() calls this; exported for the
 * fuzzer and the tests. */
int options_parse_config(struct options *options, const struct command *command, void *values,
                         const struct options_input *input, const char *where, const void *bytes,
                         size_t size, struct error *error);
int options_new(struct options **ret_options, struct error *error);

/* The nearest of names to word, or NULL where none is near enough to be meant. NULL-terminated. */
const char *options_nearest(const char *word, const char *const *names);
