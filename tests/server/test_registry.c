/* Generations of a model: who holds one keeps it, and nobody frees it but the one who reaps. */
#include "server/registry.h"

#include <pthread.h>
#include <stdatomic.h>

#include "server/backend.h"
#include "tests/server/suite.h"

/* A real one without plans: the registry frees it. */
static struct backend *make_backend(const char *name) {
        const struct server_model source = {.name = name, .path = MODEL};
        const struct backend_options options = {.n_workers = 1, .precision = PRECISION_F32};
        struct backend *backend;
        struct error error;

        ck_assert_msg(backend_open(&backend, &source, &options, &error) == 0, "%s", error.text);
        return backend;
}

static void count_dead(void *argument) {
        atomic_fetch_add((atomic_uint *)argument, 1);
}

START_TEST(registry_slots_have_one_name_each) {
        _cleanup_(registry_freep) struct registry *registry = NULL;
        struct error error = ERROR_NONE;
        size_t slot = 9;

        ck_assert_int_eq(registry_new(&registry, 2, NULL, NULL, NULL), 0);
        ck_assert_uint_eq(registry_n_slots(registry), 2);
        ck_assert_str_eq(registry_name(registry, 0), "");
        ck_assert(!registry_find(registry, "", &slot));
        ck_assert_int_eq(registry_set_name(registry, 1, "b", NULL), 0);
        ck_assert_int_eq(registry_set_name(registry, 0, "b", &error), ERROR_INVALID);
        ck_assert_contains(error.text, "two models are called \"b\"");
        ck_assert_int_eq(registry_set_name(registry, 0, "a", NULL), 0);
        ck_assert(!registry_find(registry, "c", &slot));
        ck_assert(registry_find(registry, "b", &slot));
        ck_assert_uint_eq(slot, 1);
        ck_assert_str_eq(registry_name(registry, 0), "a");
}
END_TEST

START_TEST(registry_generation_lives_as_long_as_it_is_held) {
        _cleanup_(registry_freep) struct registry *registry = NULL;
        struct backend *first = make_backend("first"), *second = make_backend("second");
        struct generation *one, *other;
        atomic_uint n_dead = 0;

        ck_assert_int_eq(registry_new(&registry, 1, count_dead, &n_dead, NULL), 0);
        ck_assert_ptr_null(registry_acquire(registry, 0));
        ck_assert(!registry_withdraw(registry, 0));
        ck_assert_int_eq(registry_publish(registry, 0, first, NULL), 0);
        one = registry_acquire(registry, 0);
        other = registry_acquire(registry, 0);
        ck_assert_ptr_eq(generation_backend(one), first);
        ck_assert_ptr_eq(one, other);
        registry_release(registry, other);

        ck_assert_int_eq(registry_publish(registry, 0, second, NULL), 0);
        ck_assert_uint_eq(n_dead, 0);
        ck_assert_uint_eq(registry_reap(registry), 0);
        /* It is held, and still what it was. */
        ck_assert_str_eq(model_name(backend_model(generation_backend(one))), "first");
        registry_release(registry, one);
        ck_assert_uint_eq(n_dead, 1);
        ck_assert_uint_eq(registry_reap(registry), 1);
        ck_assert_uint_eq(registry_reap(registry), 0);

        one = registry_acquire(registry, 0);
        ck_assert_ptr_eq(generation_backend(one), second);
        ck_assert(registry_withdraw(registry, 0));
        ck_assert_ptr_null(registry_acquire(registry, 0));
        ck_assert(!registry_withdraw(registry, 0));
        ck_assert_uint_eq(registry_reap(registry), 0);
        registry_release(registry, one);
        ck_assert_uint_eq(n_dead, 2);
        ck_assert_uint_eq(registry_reap(registry), 1);
}
END_TEST

START_TEST(registry_tells_how_loading_goes) {
        _cleanup_(registry_freep) struct registry *registry = NULL;
        struct registry_status status;
        struct error error;

        ck_assert_int_eq(registry_new(&registry, 1, NULL, NULL, NULL), 0);
        registry_status(registry, 0, &status);
        ck_assert(!status.loading && !status.attempted);
        ck_assert_uint_eq(status.generation, 0);

        registry_loading(registry, 0);
        registry_status(registry, 0, &status);
        ck_assert(status.loading);

        ck_assert_int_eq(registry_publish(registry, 0, make_backend("m"), NULL), 0);
        registry_loaded(registry, 0, METRICS_LOAD_OK, NULL);
        registry_status(registry, 0, &status);
        ck_assert(!status.loading && status.attempted);
        ck_assert_uint_eq(status.generation, 1);
        ck_assert_int_eq(status.outcome, METRICS_LOAD_OK);
        ck_assert_str_eq(status.error, "");
        ck_assert_int_gt(status.loaded_at, 0);

        error_set(&error, ERROR_INVALID, "half written");
        registry_loading(registry, 0);
        registry_loaded(registry, 0, METRICS_LOAD_REJECTED, &error);
        registry_status(registry, 0, &status);
        ck_assert_int_eq(status.outcome, METRICS_LOAD_REJECTED);
        ck_assert_str_eq(status.error, "half written");
        ck_assert_uint_eq(status.generation, 1);
}
END_TEST

struct holder {
        struct registry *registry;
        atomic_bool *stop;
        atomic_size_t n_held;
};

static void *hold_and_release(void *argument) {
        struct holder *holder = argument;

        while (!atomic_load(holder->stop)) {
                struct generation *generation = registry_acquire(holder->registry, 0);

                if (!generation)
                        continue;
                if (strcmp(model_name(backend_model(generation_backend(generation))), "m") == 0)
                        atomic_fetch_add(&holder->n_held, 1);
                registry_release(holder->registry, generation);
        }
        return NULL;
}

static size_t least_held(struct holder *holders, size_t n) {
        size_t least = SIZE_MAX;

        for (size_t i = 0; i < n; i++)
                least = MIN(least, atomic_load(&holders[i].n_held));
        return least;
}

START_TEST(registry_is_thread_safe) {
        _cleanup_(registry_freep) struct registry *registry = NULL;
        atomic_bool stop = false;
        struct holder holders[3];
        pthread_t threads[ARRAY_SIZE(holders)];
        size_t n_published = 0, n_reaped = 0;

        ck_assert_int_eq(registry_new(&registry, 1, NULL, NULL, NULL), 0);
        ck_assert_int_eq(registry_publish(registry, 0, make_backend("m"), NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(holders); i++) {
                holders[i] = (struct holder){.registry = registry, .stop = &stop};
                ck_assert_int_eq(pthread_create(&threads[i], NULL, hold_and_release, &holders[i]), 0);
        }
        /* Until each has met some of them. */
        while (n_published < 50 || least_held(holders, ARRAY_SIZE(holders)) < 100) {
                ck_assert_int_eq(registry_publish(registry, 0, make_backend("m"), NULL), 0);
                n_published++;
                n_reaped += registry_reap(registry);
        }
        atomic_store(&stop, true);
        for (size_t i = 0; i < ARRAY_SIZE(holders); i++)
                pthread_join(threads[i], NULL);
        ck_assert_uint_eq(n_reaped + registry_reap(registry), n_published);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("registry");

        tcase_add_test(tests, registry_slots_have_one_name_each);
        tcase_add_test(tests, registry_generation_lives_as_long_as_it_is_held);
        tcase_add_test(tests, registry_tells_how_loading_goes);
        tcase_add_test(tests, registry_is_thread_safe);
        return suite_run(tests);
}
