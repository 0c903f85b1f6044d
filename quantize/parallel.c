#include "quantize/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/macros.h"

struct team {
        const struct parallel *parallel;
        int (*work)(void *context, unsigned thread, size_t index, struct error *error);
        void *context;
        size_t n;
        atomic_size_t next, n_done;
        atomic_bool failed;
};

struct member {
        struct team *team;
        unsigned number;
        pthread_t thread;
        int r;
        size_t failed_at;
        struct error error;
};

static void *member_main(void *argument) {
        struct member *member = argument;
        struct team *team = member->team;
        const struct parallel_watcher *watcher = member->number == 0 ? team->parallel->watcher : NULL;

        while (!atomic_load(&team->failed)) {
                size_t index = atomic_fetch_add(&team->next, 1);

                if (index >= team->n)
                        break;
                member->r = team->work(team->context, member->number, index, &member->error);
                if (member->r < 0) {
                        member->failed_at = index;
                        atomic_store(&team->failed, true);
                        break;
                }
                atomic_fetch_add(&team->n_done, 1);
                if (watcher)
                        watcher->update(watcher->context, team->parallel->stage,
                                        (double)atomic_load(&team->n_done) / (double)team->n);
        }
        return NULL;
}

int parallel_run(const struct parallel *parallel, size_t n,
                 int (*work)(void *context, unsigned thread, size_t index, struct error *error),
                 void *context, struct error *error) {
        struct team team = {.parallel = parallel, .work = work, .context = context, .n = n};
        size_t n_members = MAX(MIN((size_t)parallel->threads, n), (size_t)1), n_started = 1;
        _cleanup_(freep) struct member *members = calloc(n_members, sizeof(*members));
        const struct member *first = NULL;

        if (!members)
                return error_no_memory(error);
        for (size_t i = 0; i < n_members; i++) {
                members[i].team = &team;
                members[i].number = (unsigned)i;
        }
        /* Where the system gives fewer threads, fewer work. */
        while (n_started < n_members &&
               pthread_create(&members[n_started].thread, NULL, member_main, &members[n_started]) == 0)
                n_started++;
        member_main(&members[0]);
        for (size_t i = 1; i < n_started; i++)
                pthread_join(members[i].thread, NULL);
        for (size_t i = 0; i < n_started; i++)
                if (members[i].r < 0 && (!first || members[i].failed_at < first->failed_at))
                        first = &members[i];
        return first ? error_set(error, first->r, "%s", first->error.text) : 0;
}
