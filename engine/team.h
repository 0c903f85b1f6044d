#pragma once
/*
 * team: several threads doing one piece of work, for kernels of our own.
 *
 * The team is one of libgomp, the runtime that oneDNN's kernels use as well, so that a plan has one set of
 * threads and one way of waiting (engine/cpu.h). Called by name, since clang would bring another runtime.
 */
#include <stddef.h>

typedef void team_function(void *argument, size_t thread, size_t n_threads);

/* Calls function on threads threads at once, the calling one among them as thread 0, and waits for all. The
 * runtime may give fewer: n_threads says how many there are. Not to be called from inside a team. */
void team_run(size_t threads, team_function *function, void *argument);

/* Waits until all threads of the team that team_run() formed have come here. Where n_threads is 1 it returns
 * at once. */
void team_barrier(size_t n_threads);

/* The part of n things that is thread's: [*ret_begin, *ret_end). */
static inline void team_share(size_t n, size_t thread, size_t n_threads, size_t *ret_begin,
                              size_t *ret_end) {
        *ret_begin = n * thread / n_threads;
        *ret_end = n * (thread + 1) / n_threads;
}
