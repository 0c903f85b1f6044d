#pragma once
/*
 * loader: opens models on a thread of its own, checks and measures them, and replaces those that are served.
 *
 * At the start all models, one after the other: then the server is ready, and one that fails ends it. From
 * then on a load makes a new generation beside the old one: it is opened, planned, run warm, and held to its
 * golden answers; only then it is served, in one step, and where anything fails the old one is served on.
 * What is left to measure is measured beside serving, given up where a load comes, and begun anew for what
 * it brought. Generations that nobody uses any more are freed here.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

struct context;
struct loader;

/* Becomes context->loader. wake_fd: an eventfd that is written to when the state changes. Fails with
 * ERROR_IO or ERROR_NO_MEMORY. */
int loader_new(struct context *context, int wake_fd, struct error *error);

/* Asks it to end soon; returns at once. What it was asked to do and has not begun fails. */
void loader_stop(struct loader *loader);

/* Waits for the step at hand, then ends. */
void loader_free(struct loader *loader);

/* Whether a model could not be loaded at the start; *error then says why. Any thread. */
bool loader_failed(struct loader *loader, struct error *error);

/* Loads all models again that are loaded; returns at once. Any thread. */
void loader_reload_all(struct loader *loader);

/* Whether that is still to be done. Any thread. */
bool loader_is_reloading(struct loader *loader);

/* There is something to reap in the registry. Any thread. */
void loader_wake(struct loader *loader);

#define LOADER_MAX_COMMANDS 64u /* that wait */

enum loader_action { LOADER_LOAD, LOADER_UNLOAD };

struct loader_command {
        enum loader_action action;
        size_t slot;
        /* On the loader's thread, exactly once; the command may be freed from here on. r, error: why it
         * failed. To unload what is not loaded is no failure. */
        void (*done)(struct loader_command *command, int r, const struct error *error);
        void *argument;
        struct loader_command *next; /* the loader's */
};

/* In the order in which they come. False, and done() is not called, where too many wait or the server stops.
 * Any thread. */
bool loader_submit(struct loader *loader, struct loader_command *command);
