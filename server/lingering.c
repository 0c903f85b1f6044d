#include "server/lingering.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define TICK_MS 250

struct slot {
        int fd; /* -1: free */
        size_t bytes;
        uint64_t idle_ns, total_ns; /* when it is over */
};

struct lingering {
        int epoll_fd, wake_fd;
        pthread_t thread;
        bool started;
        pthread_mutex_t lock; /* of what follows */
        struct slot slots[LINGERING_MAX_SOCKETS];
        size_t n_sockets;
        bool stopped;
};

#define WAKE_INDEX UINT32_MAX

static void slot_close(struct lingering *linger, struct slot *slot) {
        close(slot->fd);
        slot->fd = -1;
        linger->n_sockets--;
}

/* Reads what has come. False where it is over. */
static bool slot_drain(struct slot *slot) {
        static char nothing[65536]; /* written by one thread, read by none */
        bool more = true;

        /* A few rounds only: one fast sender must not hold up the others. */
        for (unsigned i = 0; more && i < 16; i++) {
                ssize_t n = recv(slot->fd, nothing, sizeof(nothing), MSG_DONTWAIT);

                if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                        return false;
                more = n > 0;
                if (more) {
                        slot->bytes += (size_t)n;
                        slot->idle_ns = clock_ns() + (uint64_t)LINGERING_IDLE_MS * 1000000;
                }
        }
        return slot->bytes <= LINGERING_MAX_BYTES;
}

static void close_overdue(struct lingering *linger) {
        uint64_t now_ns = clock_ns();

        for (size_t i = 0; i < LINGERING_MAX_SOCKETS; i++) {
                struct slot *slot = &linger->slots[i];

                if (slot->fd >= 0 && (now_ns > slot->idle_ns || now_ns > slot->total_ns))
                        slot_close(linger, slot);
        }
}

static void *run(void *argument) {
        struct lingering *linger = argument;
        int timeout_ms = -1;

        for (;;) {
                struct epoll_event events[64];
                bool stopped;
                int n;

                n = epoll_wait(linger->epoll_fd, events, ARRAY_SIZE(events), timeout_ms);
                pthread_mutex_lock(&linger->lock);
                for (int i = 0; i < n; i++) {
                        struct slot *slot;
                        uint64_t count;

                        if (events[i].data.u32 == WAKE_INDEX) {
                                (void)!read(linger->wake_fd, &count, sizeof(count));
                                continue;
                        }
                        slot = &linger->slots[events[i].data.u32];
                        if (slot->fd >= 0 && !slot_drain(slot))
                                slot_close(linger, slot);
                }
                close_overdue(linger);
                timeout_ms = linger->n_sockets > 0 ? TICK_MS : -1;
                stopped = linger->stopped;
                pthread_mutex_unlock(&linger->lock);
                if (stopped)
                        return NULL;
        }
}

static void wake(struct lingering *linger) {
        uint64_t one = 1;

        (void)!write(linger->wake_fd, &one, sizeof(one));
}

int lingering_new(struct lingering **ret_linger, struct error *error) {
        _cleanup_(lingering_freep) struct lingering *linger = NULL;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = WAKE_INDEX};
        int r;

        linger = calloc(1, sizeof(*linger));
        if (!linger)
                return error_no_memory(error);
        pthread_mutex_init(&linger->lock, NULL);
        for (size_t i = 0; i < LINGERING_MAX_SOCKETS; i++)
                linger->slots[i].fd = -1;
        linger->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        linger->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (linger->epoll_fd < 0 || linger->wake_fd < 0 ||
            epoll_ctl(linger->epoll_fd, EPOLL_CTL_ADD, linger->wake_fd, &event) < 0)
                return error_set(error, ERROR_IO, "epoll: %s", strerror(errno));
        r = pthread_create(&linger->thread, NULL, run, linger);
        if (r != 0)
                return error_set(error, ERROR_IO, "linger thread: %s", strerror(r));
        linger->started = true;
        pthread_setname_np(linger->thread, "linger");

        *ret_linger = steal_ptr(&linger);
        return 0;
}

void lingering_free(struct lingering *linger) {
        if (linger->started) {
                pthread_mutex_lock(&linger->lock);
                linger->stopped = true;
                pthread_mutex_unlock(&linger->lock);
                wake(linger);
                pthread_join(linger->thread, NULL);
        }
        for (size_t i = 0; i < LINGERING_MAX_SOCKETS; i++)
                if (linger->slots[i].fd >= 0)
                        slot_close(linger, &linger->slots[i]);
        if (linger->epoll_fd >= 0)
                close(linger->epoll_fd);
        if (linger->wake_fd >= 0)
                close(linger->wake_fd);
        pthread_mutex_destroy(&linger->lock);
        free(linger);
}

void lingering_add(struct lingering *linger, int fd) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
        uint64_t now_ns = clock_ns();
        size_t i = 0;

        pthread_mutex_lock(&linger->lock);
        while (i < LINGERING_MAX_SOCKETS && linger->slots[i].fd >= 0)
                i++;
        event.data.u32 = (uint32_t)i;
        if (i == LINGERING_MAX_SOCKETS || epoll_ctl(linger->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                close(fd);
        else {
                linger->slots[i] =
                        (struct slot){.fd = fd,
                                      .idle_ns = now_ns + (uint64_t)LINGERING_IDLE_MS * 1000000,
                                      .total_ns = now_ns + (uint64_t)LINGERING_TOTAL_MS * 1000000};
                if (linger->n_sockets++ == 0)
                        wake(linger);
        }
        pthread_mutex_unlock(&linger->lock);
}

size_t lingering_count(struct lingering *linger) {
        size_t n;

        pthread_mutex_lock(&linger->lock);
        n = linger->n_sockets;
        pthread_mutex_unlock(&linger->lock);
        return n;
}
