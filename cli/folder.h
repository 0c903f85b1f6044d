#pragma once
/*
 * folder: files that are written into a folder together, all of them or none.
 *
 * Each is written under a temporary name in that folder and synchronised; folder_commit() gives them their
 * names. Until then what was there stays as it is; a folder that was made for them is removed again. One
 * thread at a time.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define FOLDER_MAX_FILES 8u

struct folder_file {
        char *temporary, *path; /* owned */
};

struct folder {
        const char *path; /* borrowed; not there yet: it is made, but not the one that it is in */
        bool made;
        struct folder_file files[FOLDER_MAX_FILES];
        size_t n;
};

/* Can files be written into path, or path be made? For before the work; nothing is changed. */
int folder_check(const char *path, struct error *error);

int folder_begin(struct folder *ret_folder, const char *path, struct error *error);

/* Errors name the file and say why, as of a full disk. */
int folder_write(struct folder *folder, const char *name, const void *bytes, size_t size,
                 struct error *error);

/* In the order in which they were written. */
int folder_commit(struct folder *folder, struct error *error);

/* Removes what was not committed. */
void folder_release(struct folder *folder);
