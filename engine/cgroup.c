#include "engine/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

#define CGROUP_FILE_MAX   (256u << 10) /* bytes; a machine with a thousand mounts has some 200 KiB */
#define CGROUP_PERIOD_US  100000u      /* the kernel's default where cpu.max gives no period */
#define CGROUP_MAX_LEVELS 256u         /* directories walked up; far beyond what the kernel nests */

/* Reads a file that has no size of its own, as those of /proc. NULL where it cannot be read or is longer
 * than the limit. */
static char *file_read(const char *root, const char *path) {
        _cleanup_(freep) char *text = NULL;
        char full[PATH_MAX];
        size_t size = 0;
        int fd, n;

        n = snprintf(full, sizeof(full), "%s%s", root, path);
        if (n < 0 || (size_t)n >= sizeof(full))
                return NULL;
        text = malloc(CGROUP_FILE_MAX + 1);
        if (!text)
                return NULL;
        fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return NULL;
        for (;;) {
                ssize_t got = read(fd, text + size, CGROUP_FILE_MAX + 1 - size);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0) {
                        close(fd);
                        if (got < 0)
                                return NULL;
                        break;
                }
                size += (size_t)got;
                if (size > CGROUP_FILE_MAX) {
                        close(fd);
                        return NULL;
                }
        }
        text[size] = 0;
        return steal_ptr(&text);
}

/* Decimal digits at *text, which moves behind them. */
static bool number_take(uint64_t *ret_number, const char **text) {
        uint64_t number = 0;
        const char *s = *text;

        if (*s < '0' || *s > '9')
                return false;
        for (; *s >= '0' && *s <= '9'; s++)
                if (__builtin_mul_overflow(number, 10u, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(*s - '0'), &number))
                        return false;
        *ret_number = number;
        *text = s;
        return true;
}

static bool text_ends(const char *text) {
        return text[strspn(text, " \t\n")] == 0;
}

static unsigned quota_cpus(uint64_t quota_us, uint64_t period_us) {
        uint64_t cpus;

        if (quota_us == 0 || period_us == 0)
                return 0;
        cpus = quota_us / period_us + (quota_us % period_us != 0);
        return (unsigned)MIN(cpus, (uint64_t)INT_MAX);
}

/* "max 100000", "150000 100000" or "150000" (Documentation/admin-guide/cgroup-v2.rst, cpu.max). */
static unsigned directory_limit_v2(const char *root, const char *directory) {
        _cleanup_(freep) char *text = NULL;
        uint64_t quota, period = CGROUP_PERIOD_US;
        char path[PATH_MAX];
        const char *s;

        if ((size_t)snprintf(path, sizeof(path), "%s/cpu.max", directory) >= sizeof(path))
                return 0;
        text = file_read(root, path);
        s = text;
        if (!s || !number_take(&quota, &s))
                return 0;
        if (!text_ends(s)) {
                s += strspn(s, " \t");
                if (!number_take(&period, &s) || !text_ends(s))
                        return 0;
        }
        return quota_cpus(quota, period);
}

static bool file_number(uint64_t *ret_number, const char *root, const char *directory, const char *name) {
        _cleanup_(freep) char *text = NULL;
        uint64_t number;
        char path[PATH_MAX];
        const char *s;

        if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path))
                return false;
        text = file_read(root, path);
        s = text;
        if (!s || !number_take(&number, &s) || !text_ends(s))
                return false;
        *ret_number = number;
        return true;
}

/* A quota of -1 says that there is none (Documentation/scheduler/sched-bwc.rst). */
static unsigned directory_limit_v1(const char *root, const char *directory) {
        uint64_t quota, period;

        if (!file_number(&quota, root, directory, "cpu.cfs_quota_us") ||
            !file_number(&period, root, directory, "cpu.cfs_period_us"))
                return 0;
        return quota_cpus(quota, period);
}

/* name as a whole element of the comma separated list of size bytes. */
static bool list_has(const char *list, size_t size, const char *name) {
        size_t n = strlen(name);

        for (size_t i = 0; i < size;) {
                size_t element = strcspn(list + i, ",");

                element = MIN(element, size - i);
                if (element == n && memcmp(list + i, name, n) == 0)
                        return true;
                i += element + 1;
        }
        return false;
}

/*
 * The path of this process in a hierarchy, from /proc/self/cgroup: "0::/a/b" for version 2,
 * "4:cpu,cpuacct:/a/b" for version 1. Empty where the process is in none. NULL: out of memory.
 */
static char *process_path(const char *cgroups, bool v2) {
        for (const char *line = cgroups; *line;) {
                size_t length = strcspn(line, "\n");
                const char *list = memchr(line, ':', length), *path = NULL;

                if (list)
                        path = memchr(list + 1, ':', length - (size_t)(list + 1 - line));
                if (path) {
                        size_t list_size = (size_t)(path - (list + 1));
                        bool match;

                        if (v2)
                                match = list - line == 1 && line[0] == '0' && list_size == 0;
                        else
                                match = list_has(list + 1, list_size, "cpu");
                        if (match)
                                return strndup(path + 1, length - (size_t)(path + 1 - line));
                }
                line += length + (line[length] == '\n');
        }
        return strdup("");
}

/* The octal escapes of /proc/self/mountinfo ("\040" is a space), in place. */
static void unescape(char *text) {
        char *to = text;

        for (const char *from = text; *from; to++) {
                if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
                    from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
                        *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
                        from += 4;
                } else
                        *to = *from++;
        }
        *to = 0;
}

/* One line of /proc/self/mountinfo, see proc(5); the strings point into the line. */
struct mount {
        char *root, *point, *type, *super_options;
};

static bool mount_parse(struct mount *ret_mount, char *line) {
        struct mount mount = {0};
        char *save = NULL, *field;
        unsigned index = 0, after = 0;

        for (field = strtok_r(line, " ", &save); field; field = strtok_r(NULL, " ", &save), index++) {
                if (index == 3)
                        mount.root = field;
                else if (index == 4)
                        mount.point = field;
                else if (after == 0 && index >= 6 && strcmp(field, "-") == 0)
                        after = index;
                else if (after > 0 && index == after + 1)
                        mount.type = field;
                else if (after > 0 && index == after + 3)
                        mount.super_options = field;
        }
        if (!mount.root || !mount.point || !mount.type || !mount.super_options)
                return false;
        unescape(mount.root);
        unescape(mount.point);
        *ret_mount = mount;
        return true;
}

/*
 * The part of path that lies below the mount. A container that sees the host's path but only its own group
 * mounted, or a path that leaves its namespace ("/../x"), is at the mount point itself.
 */
static const char *path_below(const char *path, const char *mount_root) {
        size_t n = strlen(mount_root);

        if (path[0] != '/' || strstr(path, "/.."))
                return "";
        if (strcmp(mount_root, "/") == 0)
                return path;
        if (strncmp(path, mount_root, n) == 0 && (path[n] == '/' || path[n] == 0))
                return path + n;
        return "";
}

/* The tightest limit from the process's own group up to the mount point. */
static unsigned mount_limit(const char *root, const struct mount *mount, const char *path, bool v2) {
        size_t point_size = strlen(mount->point);
        char directory[PATH_MAX];
        unsigned limit = 0;
        int n;

        n = snprintf(directory, sizeof(directory), "%s%s", mount->point, path_below(path, mount->root));
        if (n < 0 || (size_t)n >= sizeof(directory))
                return 0;
        for (unsigned level = 0; level < CGROUP_MAX_LEVELS; level++) {
                unsigned here =
                        v2 ? directory_limit_v2(root, directory) : directory_limit_v1(root, directory);
                char *slash;

                if (here > 0 && (limit == 0 || here < limit))
                        limit = here;
                if (strlen(directory) <= point_size)
                        break;
                slash = strrchr(directory, '/');
                if (!slash || slash < directory + point_size)
                        break;
                *slash = 0;
        }
        return limit;
}

unsigned cgroup_cpu_limit(const char *root) {
        _cleanup_(freep) char *cgroups = file_read(root, "/proc/self/cgroup");
        _cleanup_(freep) char *mounts = file_read(root, "/proc/self/mountinfo");
        _cleanup_(freep) char *path_v1 = NULL, *path_v2 = NULL;
        char *save = NULL;
        unsigned limit = 0;

        if (!cgroups || !mounts)
                return 0;
        path_v1 = process_path(cgroups, false);
        path_v2 = process_path(cgroups, true);
        if (!path_v1 || !path_v2)
                return 0;

        for (char *line = strtok_r(mounts, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                struct mount mount;
                bool v2;
                unsigned here;

                if (!mount_parse(&mount, line))
                        continue;
                v2 = strcmp(mount.type, "cgroup2") == 0;
                if (!v2 && (strcmp(mount.type, "cgroup") != 0 ||
                            !list_has(mount.super_options, strlen(mount.super_options), "cpu")))
                        continue;
                here = mount_limit(root, &mount, v2 ? path_v2 : path_v1, v2);
                if (here > 0 && (limit == 0 || here < limit))
                        limit = here;
        }
        return limit;
}
