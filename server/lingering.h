#pragma once
/*
 * lingering: keeps answered connections half open until the client has read the answer.
 *
 * Closing a TCP socket with unread input sends a reset, which destroys what the client has not read yet: a
 * refusal of a body, or of overlong headers, would be lost with every client that is still sending. So the
 * socket, its sending side shut down, is read into nothing for a while (nginx calls this lingering_close).
 * One thread serves all; time, bytes and number are bounded. Thread safe.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

struct lingering;

#define LINGERING_MAX_SOCKETS 512u
#define LINGERING_MAX_BYTES   ((size_t)1 << 30) /* a gigabyte on its way is worth reading for one status */
#define LINGERING_IDLE_MS     2000u
#define LINGERING_TOTAL_MS    10000u

/* Fails with ERROR_NO_MEMORY or ERROR_IO. */
int lingering_new(struct lingering **ret_linger, struct error *error);

/* Closes all sockets that are left. */
void lingering_free(struct lingering *linger);
DEFINE_CLEANUP(lingering)

/* Takes fd, which is closed at once where there are too many. */
void lingering_add(struct lingering *linger, int fd);

size_t lingering_count(struct lingering *linger);
