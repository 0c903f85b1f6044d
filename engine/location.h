#pragma once
/* location: names of files beside a model, as files from outside give them. */
#include <stdbool.h>

/* Whether the path is relative and its words, between single '/', are none of "", "." and ".."; such a path
 * stays in its directory where no link among its folders leads out. */
bool location_is_inside(const char *location);
