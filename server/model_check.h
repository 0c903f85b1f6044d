#pragma once
/* model_check: whether a model gives the golden answers that lie beside it, before it is served. */
#include <stddef.h>

#include "base/error.h"
#include "engine/image/image.h"

struct backend;

/* Decodes and runs each image of golden.json on the calling thread, on the plan for one image and one
 * thread, which was kept. *ret_n_images: how many there were; 0 where there is no such file. Fails with the
 * errors of golden_read(), image_decode() and golden_compare(). */
int model_check(struct backend *backend, const struct image_options *options, size_t *ret_n_images,
                struct error *error);
