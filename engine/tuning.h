#pragma once
/*
 * tuning: what was measured to be fastest, by what it is about.
 *
 * Wherever a plan can be made in several ways, each is an alternative with a label; a question is a text
 * that says all that the answer depends on: operator, shapes, strides, what is fused, threads, instruction
 * set. Answers are measured by the tuner (engine/tuner.h), shared by all plans of a process, and may be kept
 * in a file. An answer that names no alternative there is now is no answer, so that a file of another
 * version does no harm.
 *
 * Thread safe.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

struct tuning;

#define TUNING_MAX_TEXT       256u              /* of a question or a label, with the terminating zero */
#define TUNING_MAX_ANSWERS    4096u             /* a network has some 100 questions for each batch */
#define TUNING_MAX_FILE_BYTES ((size_t)3 << 20) /* 4096 answers of twice 256 bytes, and some to spare */

int tuning_new(struct tuning **ret_tuning, struct error *error);
void tuning_free(struct tuning *tuning);
DEFINE_CLEANUP(tuning)

/* Copies the label of the answer. False: there is none. */
bool tuning_find(struct tuning *tuning, const char *question, char ret_label[TUNING_MAX_TEXT]);

/* Adds or replaces. Text that does not fit, has control characters, or comes when TUNING_MAX_ANSWERS are
 * there is left out: an answer is never needed. */
void tuning_answer(struct tuning *tuning, const char *question, const char *label);

size_t tuning_n_answers(struct tuning *tuning);

/*
 * The file of a model in directory, which is made where it is missing: one for each version of the model and
 * each kind of CPU. identity: what else answers depend on, as one line.
 *
 * tuning_load() fails with ERROR_NOT_FOUND, ERROR_IO, or ERROR_INVALID (another identity, a wrong checksum,
 * not what tuning_save() writes), and adds nothing then. tuning_save() writes a file beside it and renames
 * that, so that a reader sees the old or the new one.
 */
int tuning_load(struct tuning *tuning, const char *directory, const char *version, const char *identity,
                struct error *error);
int tuning_save(struct tuning *tuning, const char *directory, const char *version, const char *identity,
                struct error *error);

/* The text of a file, for tuning_load(), its tests and its fuzzer; the second one of its lines before the
 * checksum, which a fuzzer would never get right. */
int tuning_parse(struct tuning *tuning, const void *bytes, size_t size, const char *identity,
                 struct error *error);
int tuning_parse_lines(struct tuning *tuning, const void *bytes, size_t size, const char *identity,
                       struct error *error);
