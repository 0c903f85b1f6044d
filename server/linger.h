#pragma once
/*
 * linger: keeps answered connections half open until the client has read the answer.
 *
 * Closing a TCP socket with unread input sends a reset, which destroys what the client has not read yet: a
 * refusal of a body, or of overlong headers, would be lost with every client that is still sending. So the
 * socket, its sending side shut down, is read into nothing for a while (nginx calls this lingering_close).
 * One thread serves all; time, bytes and number are bounded. Thread safe.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

struct linger;

#define LINGER_MAX_SOCKETS 512u
#define LINGER_MAX_BYTES   ((size_t)1 << 30) /* a gigabyte on its way is worth reading for one status */
#define LINGER_IDLE_MS     2000u
#define LINGER_TOTAL_MS    10000u

/* Fails with ERROR_NO_MEMORY or ERROR_IO. */
int linger_new(struct linger **ret_linger, struct error *error);

/* Closes all sockets that are left. */
void linger_free(struct linger *linger);
DEFINE_CLEANUP(linger)

/* Takes fd, which is closed at once where there are too many. */
void linger_add(struct linger *linger, int fd);

size_t linger_count(struct linger *linger);
