#pragma once
/* commands: one struct command a file; main.c lists them. */
#include "cli/options.h"

extern const struct command COMMAND_SERVE;
extern const struct command COMMAND_CLASSIFY;
extern const struct command COMMAND_INFER;
extern const struct command COMMAND_BENCH;
extern const struct command COMMAND_INSPECT;
extern const struct command COMMAND_QUANTIZE;
extern const struct command COMMAND_TOP;
