#pragma once
/* process_stats: what the kernel says of this process, for the process_* metrics. Thread safe. */
#include <stdint.h>

struct process_stats {
        double cpu_seconds;        /* user and system */
        double start_time_seconds; /* since the epoch */
        uint64_t resident_bytes, virtual_bytes;
        uint64_t open_fds, max_fds;
};

/* What cannot be read stays 0. */
struct process_stats process_stats_read(void);
