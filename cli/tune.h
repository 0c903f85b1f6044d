#pragma once
/* tune: the options by which subcommands measure a model's plans before they use them, and where that is
 * kept. */
#include <stdbool.h>
#include <stddef.h>

#include "cli/common.h"
#include "engine/plan.h"
#include "engine/tuner.h"

extern const char *const TUNE_CHOICES[]; /* in the order of enum tune_effort */
extern const char *const WINOGRAD_CHOICES[];

/* Rows of the option tables, for a values struct with a field struct tune_values tune. */
struct tune_values {
        int effort;
        int winograd; /* index in WINOGRAD_CHOICES */
        const char *cache;
};

#define OPTION_ROWS_TUNE(type_)                                                                             \
        {.name = "tune",                                                                                    \
         .argument = "EFFORT",                                                                              \
         .type = OPTION_ENUM,                                                                               \
         .choices = TUNE_CHOICES,                                                                           \
         .offset = offsetof(type_, tune.effort),                                                            \
         .help = "measure which kernels are fastest for this model on this CPU, and remember it"},          \
                {.name = "tune-cache",                                                                      \
                 .argument = "DIR",                                                                         \
                 .type = OPTION_STRING,                                                                     \
                 .offset = offsetof(type_, tune.cache),                                                     \
                 .help = "where that is remembered; none: nowhere",                                         \
                 .default_text = "$XDG_CACHE_HOME/saccade or ~/.cache/saccade"},                            \
        {                                                                                                   \
                .name = "winograd", .argument = "on|off", .type = OPTION_ENUM, .choices = WINOGRAD_CHOICES, \
                .offset = offsetof(type_, tune.winograd),                                                   \
                .help = "off: compute 3x3 convolutions as they are defined: slower, with less memory, "     \
                        "equal to others in the last bits"                                                  \
        }

#define WINOGRAD_OFF 1

/* The directory that option, or where it is NULL the environment, names; NULL: nowhere, as where there is no
 * home. To be freed. */
char *tune_cache_directory(const char *option);

/*
 * Answers for the plan that options asks for: those of the cache, and those that are measured now where
 * effort says so; kept in the cache. Sets options->tuning to *ret_tuning, and options->no_winograd. A cache
 * that cannot be read or written is a warning. May be called again for other options of the same model and
 * tuning.
 */
int tune_plan(struct tuning **tuning, struct model *model, struct plan_options *options,
              const struct tune_values *values, struct error *error);
