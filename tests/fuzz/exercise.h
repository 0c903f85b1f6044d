#pragma once
/* exercise: what the fuzz targets of models do with a file. */
#include <stddef.h>
#include <stdint.h>

/* Loads the model as the product does, makes plans for one image and for two on two threads, reads what
 * `inspect` shows, and runs those that are small. Errors are fine. */
void exercise_model(const uint8_t *bytes, size_t size);
