#pragma once
/*
 * loader: opens the models on a thread of its own, measures them, and makes the server ready.
 *
 * First what every request needs: one image on one thread, and alone on all. Then, with the server at work,
 * the larger batches; those that do not pay are freed again.
 */
#include <stdbool.h>

#include "base/error.h"
#include "base/macros.h"

struct context;
struct loader;

/* wake_fd: an eventfd that is written to when the state changes. Fails with ERROR_IO or ERROR_NO_MEMORY. */
int loader_new(struct loader **ret_loader, struct context *context, int wake_fd, struct error *error);

/* Asks it to end soon; returns at once. */
void loader_stop(struct loader *loader);

/* Waits for the step at hand, then ends. */
void loader_free(struct loader *loader);
DEFINE_CLEANUP(loader)

/* Whether a model could not be loaded; *error then says why. Any thread. */
bool loader_failed(struct loader *loader, struct error *error);
