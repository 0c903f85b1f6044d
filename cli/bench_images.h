#pragma once
/* bench_images: decoding and inference together, on all cores, without HTTP. */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/statistics.h"

struct model;
struct plan;

struct bench_result {
        struct statistics statistics; /* of one run; with images, of decoding and running one batch */
        double images_per_s;
        size_t runs;
        double decode_ms; /* mean of one image; only with images */
        size_t n_files;   /* only with images */
};

/*
 * Reads the JPEGs of directory into memory, then n_lanes threads take them in turn, plan's batch at a time,
 * for seconds. Fails with ERROR_NOT_FOUND where the directory has none, and with the first image's error.
 */
int bench_images(struct bench_result *ret_result, const char *directory, double seconds, bool exact,
                 unsigned n_lanes, const struct model *model, const struct plan *plan, struct error *error);
