#pragma once
/*
 * registry: which model is served under which name, and how its last load went.
 *
 * A slot is one --model of the command line: its name and place never change once it was loaded. What it
 * serves is a generation, which a load replaces as a whole. Whoever works with a generation holds a
 * reference, so that a request ends on the model that it began with. A generation whose last reference is
 * given back is not freed there, on a thread that has clients to serve, but by registry_reap().
 * All functions are thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "server/metrics.h"

struct backend;
struct generation;
struct registry;

/* dead(argument) is called where registry_reap() has something to do, on any thread, under no lock. Fails
 * with ERROR_NO_MEMORY. */
int registry_new(struct registry **ret_registry, size_t n_slots, void (*dead)(void *argument),
                 void *argument, struct error *error);

/* No reference is held any more. */
void registry_free(struct registry *registry);
DEFINE_CLEANUP(registry)

size_t registry_n_slots(const struct registry *registry);

/* Once for each slot, before it is published. Fails with ERROR_INVALID where another slot has the name. */
int registry_set_name(struct registry *registry, size_t slot, const char *name, struct error *error);

/* "" before registry_set_name(); lives as long as the registry. */
const char *registry_name(struct registry *registry, size_t slot);

/* False where no slot has the name. */
bool registry_find(struct registry *registry, const char *name, size_t *ret_slot);

/* What the slot serves now, to be given back by registry_release(); NULL where nothing is loaded. */
struct generation *registry_acquire(struct registry *registry, size_t slot);
void registry_release(struct registry *registry, struct generation *generation);
struct backend *generation_backend(const struct generation *generation);

/* From here on the slot serves backend, which becomes the registry's also where it fails: with
 * ERROR_NO_MEMORY. */
int registry_publish(struct registry *registry, size_t slot, struct backend *backend, struct error *error);

/* From here on the slot serves nothing. False where it did not. */
bool registry_withdraw(struct registry *registry, size_t slot);

/* Frees generations without references; returns how many. Takes as long as unmapping their memory. */
size_t registry_reap(struct registry *registry);

/* ---- how loading goes ---- */

void registry_loading(struct registry *registry, size_t slot);

/* The load is over; error: its text unless METRICS_LOAD_OK. */
void registry_loaded(struct registry *registry, size_t slot, enum metrics_load outcome,
                     const struct error *error);

struct registry_status {
        bool loading;        /* a load is under way */
        uint64_t generation; /* how many were published so far */
        int64_t loaded_at;   /* when the last one was, in seconds since the epoch */

        bool attempted; /* a load has ended, and how: */
        enum metrics_load outcome;
        int64_t attempted_at;
        char error[ERROR_TEXT_MAX];
};
void registry_status(struct registry *registry, size_t slot, struct registry_status *ret_status);
