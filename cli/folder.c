#include "cli/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/macros.h"

static int parent_check(const char *path, struct error *error) {
        _cleanup_(freep) char *parent = strdup(path);
        char *slash;
        size_t n;

        if (!parent)
                return error_no_memory(error);
        for (n = strlen(parent); n > 1 && parent[n - 1] == '/'; n--)
                parent[n - 1] = '\0';
        slash = strrchr(parent, '/');
        if (slash)
                slash[slash == parent] = '\0';
        if (access(slash ? parent : ".", W_OK | X_OK) < 0)
                return error_set(error, ERROR_IO, "%s: cannot be made: %s: %s", path, slash ? parent : ".",
                                 strerror(errno));
        return 0;
}

int folder_check(const char *path, struct error *error) {
        struct stat st;

        if (stat(path, &st) < 0) {
                if (errno == ENOENT)
                        return parent_check(path, error);
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        }
        if (!S_ISDIR(st.st_mode))
                return error_set(error, ERROR_IO, "%s: is no directory", path);
        if (access(path, W_OK | X_OK) < 0)
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        return 0;
}

int folder_begin(struct folder *ret_folder, const char *path, struct error *error) {
        *ret_folder = (struct folder){.path = path};
        if (mkdir(path, 0777) == 0)
                ret_folder->made = true;
        else if (errno != EEXIST)
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        return 0;
}

int folder_write(struct folder *folder, const char *name, const void *bytes, size_t size,
                 struct error *error) {
        struct folder_file *file = &folder->files[folder->n];
        int fd, problem;

        if (folder->n == FOLDER_MAX_FILES)
                return error_set(error, ERROR_LIMIT, "%s: more than %u files", folder->path,
                                 FOLDER_MAX_FILES);
        if (asprintf(&file->path, "%s/%s", folder->path, name) < 0) {
                file->path = NULL;
                return error_no_memory(error);
        }
        if (asprintf(&file->temporary, "%s/.%s.%ld", folder->path, name, (long)getpid()) < 0) {
                free(file->path);
                *file = (struct folder_file){0};
                return error_no_memory(error);
        }
        folder->n++;
        /* A process of the same number may have left one. */
        unlink(file->temporary);
        fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        problem = fd < 0 || file_write(fd, bytes, size) < 0 || fsync(fd) < 0 ? -errno : 0;
        if (fd >= 0 && close(fd) < 0 && problem == 0)
                problem = -errno;
        if (problem < 0)
                return error_set(error, ERROR_IO, "%s: %s", file->path, strerror(-problem));
        return 0;
}

int folder_commit(struct folder *folder, struct error *error) {
        _cleanup_(closep) int fd = -1;

        for (size_t i = 0; i < folder->n; i++) {
                if (rename(folder->files[i].temporary, folder->files[i].path) < 0)
                        return error_set(error, ERROR_IO, "%s: %s", folder->files[i].path, strerror(errno));
                free(folder->files[i].temporary);
                folder->files[i].temporary = NULL;
                folder->made = false; /* it has something that stays */
        }
        fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                fsync(fd); /* the names; where that cannot be done the files are there all the same */
        return 0;
}

void folder_release(struct folder *folder) {
        for (size_t i = 0; i < folder->n; i++) {
                if (folder->files[i].temporary)
                        unlink(folder->files[i].temporary);
                free(folder->files[i].temporary);
                free(folder->files[i].path);
        }
        if (folder->made)
                rmdir(folder->path);
        *folder = (struct folder){0};
}
