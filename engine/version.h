#pragma once
/* version: what tells one model file from another: the SHA-256 of its bytes, computed when it is first asked
 * for. */
#include "base/error.h"
#include "base/macros.h"
#include "engine/source.h"

struct version;

int version_new(struct version **ret_version, struct source *source, struct error *error);
void version_free(struct version *version);
DEFINE_CLEANUP(version)

/* The first 12 hexadecimal digits; they live as long as version. Thread safe; only the first call that
 * succeeds reads. Fails with ERROR_IO, ERROR_NO_MEMORY. */
int version_text(struct version *version, const char **ret_text, struct error *error);
