#pragma once
/*
 * pictures: the images of a folder as a model takes them, and what is on them.
 *
 * Held as pixels, so that they are decoded once; PICTURES_MAX_BYTES bounds them, and of a folder that has
 * more images every k-th is taken. Files are taken in the order of their names.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/model.h"
#include "quantize/parallel.h"

#define PICTURES_MAX       1024u
#define PICTURES_MAX_BYTES ((size_t)512 << 20)
#define PICTURES_NO_CLASS  (-1)

struct picture {
        char *name; /* of the file in the folder */
        int class;  /* by the labels, or PICTURES_NO_CLASS */
};

struct pictures {
        struct picture *pictures;
        unsigned char *pixels; /* uint8 [n, H, W, 3] */
        size_t image_bytes;    /* of one */
        size_t n;
        size_t n_labelled;
        size_t n_found;   /* images in the folder */
        size_t n_unread;  /* of those taken, that could not be decoded */
        char *unread_why; /* of the first of these, or NULL */
};

/* Fails with ERROR_NOT_FOUND (no such folder, no image in it or none that can be decoded), ERROR_UNSUPPORTED
 * (a model that takes no pictures of three colours). */
int pictures_read(struct pictures **ret_pictures, const char *directory, const struct model *model,
                  const struct parallel *parallel, struct error *error);
void pictures_free(struct pictures *pictures);
DEFINE_CLEANUP(pictures)

/* Lines of a class, a tabulator and the name of a file in the folder. Names of other files are passed over;
 * fails with ERROR_NOT_FOUND where none of the pictures is named, ERROR_INVALID (the line is named) where
 * the file is of another form. */
int pictures_label(struct pictures *pictures, const char *path, size_t n_classes, struct error *error);
