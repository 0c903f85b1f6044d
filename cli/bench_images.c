#include "cli/bench_images.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/clock.h"
#include "cli/common.h"
#include "cli/lane.h"
#include "cli/progress.h"

#define BENCH_MAX_IMAGES_BYTES ((size_t)1 << 30) /* held in memory; enough for some thousand photographs */

struct file {
        char *path;
        struct blob blob;
};

struct files {
        struct file *files;
        size_t n, capacity, bytes;
};

static void files_release(struct files *files) {
        for (size_t i = 0; i < files->n; i++) {
                free(files->files[i].path);
                blob_release(&files->files[i].blob);
        }
        free(files->files);
}

static void closedirp(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

static int compare_paths(const void *a, const void *b) {
        return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static int files_add(struct files *files, const char *directory, const char *name, struct error *error) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", directory, name) < 0) {
                path = NULL;
                return error_no_memory(error);
        }
        r = blob_read(&blob, path, COMMON_MAX_INPUT_BYTES, error);
        if (r == ERROR_INVALID)
                return 0; /* a directory or the like */
        if (r < 0)
                return r;
        if (image_format_of(blob.bytes, blob.size) != IMAGE_FORMAT_JPEG)
                return 0;
        files->bytes += blob.size;
        if (files->bytes > BENCH_MAX_IMAGES_BYTES)
                return error_set(error, ERROR_LIMIT, "%s: more than %zu bytes of images; take fewer",
                                 directory, BENCH_MAX_IMAGES_BYTES);
        if (files->n == files->capacity) {
                size_t capacity = MAX(files->capacity * 2, (size_t)256);
                struct file *grown = reallocarray(files->files, capacity, sizeof(*grown));

                if (!grown)
                        return error_no_memory(error);
                files->files = grown;
                files->capacity = capacity;
        }
        files->files[files->n++] = (struct file){.path = steal_ptr(&path), .blob = blob};
        blob = BLOB_NONE;
        return 0;
}

static int files_load(struct files *files, const char *path, struct error *error) {
        _cleanup_(closedirp) DIR *directory = opendir(path);
        struct dirent *entry;
        int r;

        if (!directory)
                return error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, "--images: %s: %s",
                                 path, strerror(errno));
        while ((entry = readdir(directory))) {
                if (entry->d_name[0] == '.')
                        continue;
                r = files_add(files, path, entry->d_name, error);
                if (r < 0)
                        return r;
        }
        if (files->n == 0)
                return error_set(error, ERROR_NOT_FOUND, "--images: %s: no JPEG in it", path);
        qsort(files->files, files->n, sizeof(*files->files), compare_paths);
        return 0;
}

struct images_job {
        const struct files *files;
        uint64_t duration_ns;

        atomic_size_t next;          /* file, modulo n */
        atomic_uint_fast64_t end_ns; /* 0: the first lane has not begun */
        pthread_mutex_t lock;        /* what follows; taken once a batch, a thousandth of its time */
        pthread_cond_t changed;
        size_t n_finished;
        uint64_t decode_ns;
        size_t n_images;
        double images_per_s; /* of all lanes */
        struct durations durations;
        struct error error;
};

static int one_batch(struct images_job *job, struct lane *lane, uint64_t *ret_decode_ns,
                     struct error *error) {
        size_t batch = plan_batch(lane->plan);
        uint64_t started = clock_ns();
        int r;

        for (size_t i = 0; i < batch; i++) {
                const struct file *file =
                        &job->files->files[atomic_fetch_add(&job->next, 1) % job->files->n];

                r = lane_decode(lane, i, file->blob.bytes, file->blob.size, NULL, error);
                if (r < 0)
                        return error_prefix(error, r, "%s", file->path);
        }
        *ret_decode_ns = clock_ns() - started;
        return lane_execute(lane, error);
}

/* One lane until the time is over or something failed; the first batch warms up and is not counted. Lanes
 * neither begin nor end together: each has a rate of its own, from its first counted batch to its last, and
 * all lanes together do the sum. Over one span for all, each would seem idle for the half of a batch at both
 * ends. */
static int lane_loop(struct images_job *job, struct lane *lane, struct error *error) {
        uint64_t decode_ns, begun, started, now, expected = 0;
        size_t n_images = 0;
        int r;

        r = one_batch(job, lane, &decode_ns, error);
        if (r < 0)
                return r;
        begun = now = clock_ns();
        atomic_compare_exchange_strong(&job->end_ns, &expected, now + job->duration_ns);
        while (now < atomic_load(&job->end_ns)) {
                started = now;
                r = one_batch(job, lane, &decode_ns, error);
                if (r < 0)
                        return r;
                now = clock_ns();

                pthread_mutex_lock(&job->lock);
                r = durations_add(&job->durations, now - started);
                job->decode_ns += decode_ns;
                job->n_images += plan_batch(lane->plan);
                pthread_mutex_unlock(&job->lock);
                if (r < 0)
                        return error_no_memory(error);
                n_images += plan_batch(lane->plan);
        }
        pthread_mutex_lock(&job->lock);
        if (n_images > 0)
                job->images_per_s += (double)n_images * 1e3 / clock_ms_between(begun, now);
        pthread_mutex_unlock(&job->lock);
        return 0;
}

static void images_work(void *context, struct lane *lane) {
        struct images_job *job = context;
        struct error error = ERROR_NONE;
        int r = lane_loop(job, lane, &error);

        if (r < 0)
                atomic_store(&job->end_ns, 1); /* the others stop at once */
        pthread_mutex_lock(&job->lock);
        if (r < 0 && job->error.code == 0)
                job->error = error;
        job->n_finished++;
        pthread_cond_signal(&job->changed);
        pthread_mutex_unlock(&job->lock);
}

static void images_watch(void *context) {
        struct images_job *job = context;
        struct progress progress;

        progress_begin(&progress, "bench");
        pthread_mutex_lock(&job->lock);
        while (job->n_finished == 0) {
                uint64_t end = atomic_load(&job->end_ns), now = clock_ns();
                struct timespec wake;

                if (end > job->duration_ns)
                        progress_update(&progress,
                                        1 - (double)(end > now ? end - now : 0) / (double)job->duration_ns);
                clock_gettime(CLOCK_REALTIME, &wake);
                wake.tv_nsec += 100000000;
                wake.tv_sec += wake.tv_nsec / 1000000000;
                wake.tv_nsec %= 1000000000;
                pthread_cond_timedwait(&job->changed, &job->lock, &wake);
        }
        pthread_mutex_unlock(&job->lock);
        progress_end(&progress);
}

static void job_release(struct images_job *job) {
        durations_release(&job->durations);
        pthread_mutex_destroy(&job->lock);
        pthread_cond_destroy(&job->changed);
}

int bench_images(struct bench_result *ret_result, const char *directory, double seconds, bool exact,
                 unsigned n_lanes, const struct model *model, const struct plan *plan, struct error *error) {
        _cleanup_(files_release) struct files files = {0};
        _cleanup_(job_release) struct images_job job = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                                        .changed = PTHREAD_COND_INITIALIZER};
        int r;

        r = files_load(&files, directory, error);
        if (r < 0)
                return r;
        job.files = &files;
        job.duration_ns = (uint64_t)(seconds * 1e9);
        r = lanes_run(n_lanes, model, plan, exact, images_work, images_watch, &job, error);
        if (r < 0)
                return r;
        if (job.error.code < 0)
                return error_set(error, job.error.code, "%s", job.error.text);
        if (job.durations.n == 0)
                return error_set(error, ERROR_LIMIT, "no batch finished in %g s; give more --seconds",
                                 seconds);

        *ret_result = (struct bench_result){
                .statistics = statistics_of(job.durations.values_ns, job.durations.n),
                .images_per_s = job.images_per_s,
                .runs = job.durations.n,
                .decode_ms = (double)job.decode_ns / 1e6 / (double)job.n_images,
                .n_files = files.n,
        };
        return 0;
}
