#pragma once
/* problem_json: a problem as a part of a larger JSON document. Inside of proto/ only. */
#include <cjson/cJSON.h>

#include "proto/problem.h"

/* Owned by the caller; NULL where memory ran out. */
cJSON *problem_json_new(const struct problem *problem);
