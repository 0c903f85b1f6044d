#pragma once
/* report: what the generator found, as JSON. Durations are milliseconds. */
#include "tests/bench/load/generator.h"

struct cJSON;

/* Both return NULL where memory is wanting; to be freed by cJSON_Delete(). */
struct cJSON *report_result(struct generator_result *result, const struct generator_options *options);
struct cJSON *report_interval(double second, double seconds, struct tally *tally);
