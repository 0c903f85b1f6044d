#pragma once
/* file: what the system's calls on descriptors leave to do. */
#include <stddef.h>

/* Writes all bytes, however many calls that takes. Returns 0, or -1 with errno set: some may be written
 * then. */
int file_write(int fd, const void *bytes, size_t size);
