#include "engine/team.h"

/* What gcc compiles "#pragma omp parallel" and "barrier" to; part of libgomp's stable interface (GOMP_4.0).
 */
void GOMP_parallel(void (*function)(void *), void *data, unsigned n_threads, unsigned flags);
void GOMP_barrier(void);
int omp_get_thread_num(void);
int omp_get_num_threads(void);

/* ThreadSanitizer does not see libgomp's own synchronisation: what happens before a team is formed and
 * before a thread leaves it must be told. */
#if defined(__SANITIZE_THREAD__)
#define TEAM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEAM_TSAN 1
#endif
#endif
#ifdef TEAM_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#else
static inline void __tsan_acquire(void *address) {
        (void)address;
}
static inline void __tsan_release(void *address) {
        (void)address;
}
#endif

struct team {
        team_function *function;
        void *argument;
};

static char barrier_mark; /* an address for ThreadSanitizer */

static void enter(void *data) {
        struct team *team = data;

        __tsan_acquire(team);
        team->function(team->argument, (size_t)omp_get_thread_num(), (size_t)omp_get_num_threads());
        __tsan_release(team);
}

void team_run(size_t threads, team_function *function, void *argument) {
        struct team team = {.function = function, .argument = argument};

        if (threads <= 1) {
                function(argument, 0, 1);
                return;
        }
        __tsan_release(&team);
        GOMP_parallel(enter, &team, (unsigned)threads, 0);
        __tsan_acquire(&team);
}

void team_barrier(size_t n_threads) {
        if (n_threads <= 1)
                return;
        __tsan_release(&barrier_mark);
        GOMP_barrier();
        __tsan_acquire(&barrier_mark);
}
