#include "server/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/backend.h"

struct generation {
        struct backend *backend;
        size_t refs;             /* under the lock: one for being current, one for each holder */
        struct generation *next; /* of the dead */
};

struct slot {
        char *name; /* NULL until it is set */
        struct generation *current;
        struct registry_status status;
};

struct registry {
        pthread_mutex_t lock;
        struct slot *slots;
        size_t n_slots;
        struct generation *dead;
        void (*on_dead)(void *argument);
        void *argument;
};

int registry_new(struct registry **ret_registry, size_t n_slots, void (*dead)(void *argument),
                 void *argument, struct error *error) {
        struct registry *registry = calloc(1, sizeof(*registry));

        if (!registry)
                return error_no_memory(error);
        pthread_mutex_init(&registry->lock, NULL);
        registry->on_dead = dead;
        registry->argument = argument;
        registry->slots = calloc(n_slots, sizeof(*registry->slots));
        if (!registry->slots) {
                registry_free(registry);
                return error_no_memory(error);
        }
        registry->n_slots = n_slots;
        *ret_registry = registry;
        return 0;
}

void registry_free(struct registry *registry) {
        for (size_t i = 0; i < registry->n_slots; i++) {
                registry_withdraw(registry, i);
                free(registry->slots[i].name);
        }
        registry_reap(registry);
        free(registry->slots);
        pthread_mutex_destroy(&registry->lock);
        free(registry);
}

size_t registry_n_slots(const struct registry *registry) {
        return registry->n_slots;
}

static bool find_locked(const struct registry *registry, const char *name, size_t *ret_slot) {
        for (size_t i = 0; i < registry->n_slots; i++)
                if (registry->slots[i].name && strcmp(registry->slots[i].name, name) == 0) {
                        *ret_slot = i;
                        return true;
                }
        return false;
}

int registry_set_name(struct registry *registry, size_t slot, const char *name, struct error *error) {
        _cleanup_(freep) char *copy = strdup(name);
        size_t other;
        bool taken;

        if (!copy)
                return error_no_memory(error);
        pthread_mutex_lock(&registry->lock);
        taken = find_locked(registry, name, &other);
        if (!taken)
                registry->slots[slot].name = steal_ptr(&copy);
        pthread_mutex_unlock(&registry->lock);
        return taken ? error_set(error, ERROR_INVALID,
                                 "two models are called \"%s\"; name them apart with --model NAME=PATH",
                                 name)
                     : 0;
}

const char *registry_name(struct registry *registry, size_t slot) {
        const char *name;

        pthread_mutex_lock(&registry->lock);
        name = registry->slots[slot].name;
        pthread_mutex_unlock(&registry->lock);
        return name ? name : "";
}

bool registry_find(struct registry *registry, const char *name, size_t *ret_slot) {
        bool found;

        pthread_mutex_lock(&registry->lock);
        found = find_locked(registry, name, ret_slot);
        pthread_mutex_unlock(&registry->lock);
        return found;
}

struct generation *registry_acquire(struct registry *registry, size_t slot) {
        struct generation *generation;

        pthread_mutex_lock(&registry->lock);
        generation = registry->slots[slot].current;
        if (generation)
                generation->refs++;
        pthread_mutex_unlock(&registry->lock);
        return generation;
}

/* True where the generation is dead now. */
static bool release_locked(struct registry *registry, struct generation *generation) {
        if (!generation || --generation->refs > 0)
                return false;
        generation->next = registry->dead;
        registry->dead = generation;
        return true;
}

void registry_release(struct registry *registry, struct generation *generation) {
        bool died;

        pthread_mutex_lock(&registry->lock);
        died = release_locked(registry, generation);
        pthread_mutex_unlock(&registry->lock);
        if (died && registry->on_dead)
                registry->on_dead(registry->argument);
}

struct backend *generation_backend(const struct generation *generation) {
        return generation->backend;
}

/* generation: NULL for none. Returns whether there was one before. */
static bool replace(struct registry *registry, size_t index, struct generation *generation) {
        struct slot *slot = &registry->slots[index];
        struct generation *old;
        bool died;

        pthread_mutex_lock(&registry->lock);
        old = slot->current;
        slot->current = generation;
        if (generation) {
                slot->status.generation++;
                slot->status.loaded_at = (int64_t)time(NULL);
        }
        died = release_locked(registry, old);
        pthread_mutex_unlock(&registry->lock);
        if (died && registry->on_dead)
                registry->on_dead(registry->argument);
        return old != NULL;
}

int registry_publish(struct registry *registry, size_t slot, struct backend *backend, struct error *error) {
        struct generation *generation = calloc(1, sizeof(*generation));

        if (!generation) {
                backend_free(backend);
                return error_no_memory(error);
        }
        generation->backend = backend;
        generation->refs = 1;
        replace(registry, slot, generation);
        return 0;
}

bool registry_withdraw(struct registry *registry, size_t slot) {
        return replace(registry, slot, NULL);
}

size_t registry_reap(struct registry *registry) {
        struct generation *dead;
        size_t n = 0;

        pthread_mutex_lock(&registry->lock);
        dead = steal_ptr(&registry->dead);
        pthread_mutex_unlock(&registry->lock);
        for (; dead; n++) {
                struct generation *next = dead->next;

                backend_free(dead->backend);
                free(dead);
                dead = next;
        }
        return n;
}

void registry_loading(struct registry *registry, size_t slot) {
        pthread_mutex_lock(&registry->lock);
        registry->slots[slot].status.loading = true;
        pthread_mutex_unlock(&registry->lock);
}

void registry_loaded(struct registry *registry, size_t slot, enum metrics_load outcome,
                     const struct error *error) {
        struct registry_status *status = &registry->slots[slot].status;

        pthread_mutex_lock(&registry->lock);
        status->loading = false;
        status->attempted = true;
        status->outcome = outcome;
        status->attempted_at = (int64_t)time(NULL);
        snprintf(status->error, sizeof(status->error), "%s", outcome == METRICS_LOAD_OK ? "" : error->text);
        pthread_mutex_unlock(&registry->lock);
}

void registry_status(struct registry *registry, size_t slot, struct registry_status *ret_status) {
        pthread_mutex_lock(&registry->lock);
        *ret_status = registry->slots[slot].status;
        pthread_mutex_unlock(&registry->lock);
}
