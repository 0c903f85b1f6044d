#include "server/process_stats.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Field n of proc(5)'s /proc/self/stat, counted from 1; the second one, the program's name, may hold blanks
 * and parentheses, so counting starts behind the last ')'. */
static unsigned long long stat_field(const char *stat, unsigned n) {
        const char *p = strrchr(stat, ')');
        unsigned long long value = 0;

        for (unsigned i = 2; p && i < n; i++)
                p = strchr(p + 1, ' ');
        if (p)
                sscanf(p, " %llu", &value);
        return value;
}

static double boot_time_seconds(void) {
        double seconds = 0;
        char line[256];
        FILE *file;

        file = fopen("/proc/stat", "re");
        if (!file)
                return 0;
        while (fgets(line, sizeof(line), file))
                if (sscanf(line, "btime %lf", &seconds) == 1)
                        break;
        fclose(file);
        return seconds;
}

static double boot_time_s;
static pthread_once_t boot_time_once = PTHREAD_ONCE_INIT;

/* Once: the kernel reckons it from the clock, and what depends on it must not move when the clock is set. */
static void read_boot_time(void) {
        boot_time_s = boot_time_seconds();
}

static uint64_t count_fds(void) {
        uint64_t n = 0;
        DIR *directory;

        directory = opendir("/proc/self/fd");
        if (!directory)
                return 0;
        for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
                n += entry->d_name[0] != '.';
        closedir(directory);
        return n - 1; /* without the one that reads the directory */
}

struct process_stats process_stats_read(void) {
        double ticks = (double)sysconf(_SC_CLK_TCK);
        struct process_stats stats = {0};
        struct rlimit limit;
        char stat[1024];
        FILE *file;

        pthread_once(&boot_time_once, read_boot_time);
        file = fopen("/proc/self/stat", "re");
        if (file) {
                stat[fread(stat, 1, sizeof(stat) - 1, file)] = 0;
                fclose(file);
                stats.cpu_seconds = (double)(stat_field(stat, 14) + stat_field(stat, 15)) / ticks;
                stats.start_time_seconds = boot_time_s + (double)stat_field(stat, 22) / ticks;
                stats.virtual_bytes = stat_field(stat, 23);
                stats.resident_bytes = stat_field(stat, 24) * (uint64_t)sysconf(_SC_PAGESIZE);
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                stats.max_fds = limit.rlim_cur;
        stats.open_fds = count_fds();
        return stats;
}
