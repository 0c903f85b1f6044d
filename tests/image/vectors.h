#pragma once
/* vectors: the files that make_vectors.py wrote, and the frame of a test program. */
#include <check.h>
#include <stdint.h>

#include "base/blob.h"

/* The file of that name among the vectors; the test fails where it is missing. The caller releases it. */
struct blob vector_read(const char *name, const char *suffix);

/* FNV-1a, 64 bits. */
uint64_t vector_digest(const void *bytes, size_t size);

/* Numbers that are the same in every run: xorshift64 of Marsaglia 2003. */
uint64_t vector_random(uint64_t *state);

/* Runs the case and returns what main is to return. */
int vector_main(const char *name, TCase *tcase);
