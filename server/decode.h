#pragma once
/*
 * decode: the file of an image -> the pixels that its model wants.
 *
 * Not thread safe: each thread has a decoder of its own.
 */
#include <stdbool.h>
#include <stddef.h>

#include "engine/image/image.h"

struct image_job;

/* Fills job->pixels, width, height and the times of the stage. False where that failed: outcome and problem
 * say why then. */
bool decode_job(struct image_decoder *decoder, const struct preprocess *preprocess,
                const struct image_options *options, struct image_job *job);
