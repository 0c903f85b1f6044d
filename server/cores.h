#pragma once
/*
 * cores: follows what the system gives: affinity, cpusets and quotas may change while the server runs.
 *
 * A thread of its own looks every CORES_PERIOD_MS and tells admission and batcher. The threads that work are
 * as many as there were cores at start: of more that are given later, no use is made.
 */
#include "base/error.h"
#include "base/macros.h"

struct context;
struct cores;

#define CORES_PERIOD_MS 500u

/* Fails with ERROR_NO_MEMORY or ERROR_IO (no thread). */
int cores_new(struct cores **ret_cores, struct context *context, struct error *error);
void cores_free(struct cores *cores);
DEFINE_CLEANUP(cores)
