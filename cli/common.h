#pragma once
/* common: what the subcommands share: exit statuses, messages, the options that several have, JSON lines. */
#include <stddef.h>

#include <cjson/cJSON.h>

#include "base/blob.h"
#include "base/error.h"
#include "engine/model.h"

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define COMMON_MAX_THREADS      1024u
#define COMMON_MAX_INPUT_BYTES  ((size_t)256 << 20) /* of an image file; beyond any limit of pixels */
#define COMMON_MAX_TENSOR_BYTES ((size_t)4 << 30)   /* of a .npy file: 1024 images of 512 x 512 */

/* In the order of enum precision. */
extern const char *const PRECISION_CHOICES[];

/* Rows of the option tables, for a values struct with fields of these names. */
#define OPTION_ROW_CONFIG(type_)                                                                            \
        {                                                                                                   \
                .name = "config", .argument = "FILE", .type = OPTION_STRING,                                \
                .offset = offsetof(type_, config),                                                          \
                .help = "JSON object of options, such as {\"threads\": 2}"                                  \
        }
#define OPTION_ROW_MODEL(type_)                                                                             \
        {                                                                                                   \
                .name = "model", .argument = "PATH", .type = OPTION_STRING,                                 \
                .offset = offsetof(type_, model),                                                           \
                .help = "model.onnx, or a directory that has it beside config.json and "                    \
                        "preprocessor_config.json",                                                         \
                .default_text = "the embedded EfficientNet-Lite0"                                           \
        }
#define OPTION_ROW_PRECISION(type_)                                                                         \
        {                                                                                                   \
                .name = "precision", .argument = "P", .type = OPTION_ENUM, .choices = PRECISION_CHOICES,    \
                .offset = offsetof(type_, precision),                                                       \
                .help = "arithmetic of the network; auto: what the file was made for, if that is fastest"   \
        }
#define OPTION_ROW_THREADS(type_)                                                                           \
        {                                                                                                   \
                .name = "threads", .argument = "N", .type = OPTION_UNSIGNED, .max = COMMON_MAX_THREADS,     \
                .offset = offsetof(type_, threads),                                                         \
                .help = "CPUs to compute with; 0 for all that the process may use", .default_text = "0"     \
        }

/* The line on stderr that ends a failed command; returns status. */
int common_fail(const char *command, enum exit_status status, const struct error *error);

/* path: NULL for the embedded model. precision: an index in PRECISION_CHOICES. watch: see engine/model.h; or
 * NULL. */
int common_open_model(struct model **ret_model, const char *path, int precision,
                      const struct model_watch *watch, struct error *error);

/* A regular file, or whatever else can be read to its end; "-" is stdin. */
int common_read_input(struct blob *ret_blob, const char *path, size_t max_bytes, struct error *error);

/* Adds a number of six significant digits. */
void common_json_number(cJSON *object, const char *key, double number);

/* Prints object as one line on stdout, and deletes it. Fails with ERROR_NO_MEMORY, object may then be NULL.
 */
int common_print_json(cJSON *object, struct error *error);

/* Pixels that look like nothing, always the same: random enough that no branch or zero is learnt. */
void common_fill_noise(unsigned char *pixels, size_t size);
