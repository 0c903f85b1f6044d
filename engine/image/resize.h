#pragma once
/*
 * resize: an antialiased, separable resize of uint8 RGB that takes its input row by row, from top to bottom.
 *
 * Equal to the bit to Image.resize(size, filter, box) of Pillow 13, followed by crop(). Only the pixels that
 * survive the crop are computed, and never more than the rows that one output row needs are held. A struct
 * resizer belongs to one thread at a time and keeps its memory from one picture to the next.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/image/kernels.h"
#include "engine/image/preprocess.h"
#include "engine/image/weights.h"

struct resizer;

/* kernels: NULL for the fastest that the CPU runs. Fails with ERROR_NO_MEMORY. */
int resizer_new(struct resizer **ret_resizer, const struct kernels *kernels, struct error *error);
void resizer_free(struct resizer *resizer);
DEFINE_CLEANUP(resizer)

/* Begins a picture. output: [y->n, x->n, 3], its rows stride_bytes apart; it must live until the last row
 * was committed. Fails with ERROR_NO_MEMORY. */
int resizer_begin(struct resizer *resizer, const struct weights_axis *x, const struct weights_axis *y,
                  enum image_filter filter, unsigned char *output, size_t stride_bytes, struct error *error);

/* Where the next input row goes: [x->in, 3]. */
unsigned char *resizer_row(struct resizer *resizer);

/* Takes that row; to be called y->in times. The output is complete after the last one. */
void resizer_commit(struct resizer *resizer);

/* Gives memory back, so that no buffer of more than max_bytes is kept. */
void resizer_trim(struct resizer *resizer, size_t max_bytes);
