#include "engine/weights.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHTS_ALIGNMENT   64u
#define WEIGHTS_MIN_BUCKETS 64u /* a power of two */

/* What is asked for: a layout, or a form of the caller's. */
struct request {
        struct tensor *tensor;
        const struct layout *as, *want; /* NULL for a form */
        const char *form;               /* NULL for a layout */
        weights_packer *packer;
        const void *params;
        size_t n_bytes;
};

enum packed_state { PACKED_PENDING, PACKED_READY, PACKED_FAILED };

struct packed {
        struct weights *weights;
        struct packed *next;   /* in its bucket */
        struct tensor *tensor; /* a reference: a freed one's address may come back with other data */
        struct layout *as, *want;
        char *form;
        size_t n_bytes;
        const void *bytes;
        void *owned; /* NULL: the tensor's own bytes */

        /* Under the lock. */
        enum packed_state state;
        unsigned refs; /* of callers, and of threads that wait */
};

struct weights {
        pthread_mutex_t lock;
        pthread_cond_t settled; /* something is pending no longer */
        struct packed **buckets;
        size_t n_buckets, n_packed;
        size_t bytes;
};

int weights_new(struct weights **ret_weights, struct error *error) {
        struct weights *weights = calloc(1, sizeof(*weights));
        struct packed **buckets = calloc(WEIGHTS_MIN_BUCKETS, sizeof(*buckets));

        if (!weights || !buckets) {
                free(weights);
                free(buckets);
                return error_no_memory(error);
        }
        weights->buckets = buckets;
        weights->n_buckets = WEIGHTS_MIN_BUCKETS;
        pthread_mutex_init(&weights->lock, NULL);
        pthread_cond_init(&weights->settled, NULL);
        *ret_weights = weights;
        return 0;
}

void weights_free(struct weights *weights) {
        pthread_cond_destroy(&weights->settled);
        pthread_mutex_destroy(&weights->lock);
        free(weights->buckets);
        free(weights);
}

/* ---- the table: by tensor, since one has few forms ---- */

static struct packed **bucket_of(const struct weights *weights, const struct tensor *tensor) {
        /* Fibonacci hashing (Knuth, volume 3, section 6.4): addresses differ in the middle bits. */
        uint64_t hash = (uint64_t)(uintptr_t)tensor * 0x9e3779b97f4a7c15u;

        return &weights->buckets[(hash >> 32) & (weights->n_buckets - 1)];
}

static bool is_of(const struct packed *packed, const struct request *request) {
        if (packed->tensor != request->tensor || !packed->form != !request->form)
                return false;
        if (request->form)
                return packed->n_bytes == request->n_bytes && strcmp(packed->form, request->form) == 0;
        return layout_equal(packed->as, request->as) && layout_equal(packed->want, request->want);
}

static struct packed *table_find(const struct weights *weights, const struct request *request) {
        struct packed *packed = *bucket_of(weights, request->tensor);

        while (packed && !is_of(packed, request))
                packed = packed->next;
        return packed;
}

/* A table that could not grow is only slower. */
static void table_grow(struct weights *weights) {
        size_t n_buckets = weights->n_buckets;
        struct packed **old = weights->buckets, **buckets = calloc(2 * n_buckets, sizeof(*buckets));

        if (!buckets)
                return;
        weights->buckets = buckets;
        weights->n_buckets = 2 * n_buckets;
        for (size_t i = 0; i < n_buckets; i++)
                while (old[i]) {
                        struct packed *packed = old[i], **bucket = bucket_of(weights, packed->tensor);

                        old[i] = packed->next;
                        packed->next = *bucket;
                        *bucket = packed;
                }
        free(old);
}

static void table_insert(struct weights *weights, struct packed *packed) {
        struct packed **bucket;

        if (weights->n_packed >= weights->n_buckets)
                table_grow(weights);
        bucket = bucket_of(weights, packed->tensor);
        packed->next = *bucket;
        *bucket = packed;
        weights->n_packed++;
}

static void table_remove(struct weights *weights, struct packed *packed) {
        struct packed **link = bucket_of(weights, packed->tensor);

        while (*link != packed)
                link = &(*link)->next;
        *link = packed->next;
        weights->n_packed--;
}

/* ---- packing ---- */

static void packed_free(struct packed *packed) {
        if (packed->tensor)
                tensor_unref(packed->tensor);
        layout_free(packed->as);
        layout_free(packed->want);
        free(packed->form);
        free(packed->owned);
        free(packed);
}
DEFINE_CLEANUP(packed)

static int packed_new(struct packed **ret_packed, struct weights *weights, const struct request *request,
                      struct error *error) {
        _cleanup_(packed_freep) struct packed *packed = calloc(1, sizeof(*packed));

        if (!packed)
                return error_no_memory(error);
        packed->weights = weights;
        packed->tensor = tensor_ref(request->tensor);
        packed->n_bytes = request->n_bytes;
        packed->refs = 1;
        packed->as = request->form ? NULL : layout_copy(request->as);
        packed->want = request->form ? NULL : layout_copy(request->want);
        packed->form = request->form ? strdup(request->form) : NULL;
        if (request->form ? !packed->form : !packed->as || !packed->want)
                return error_no_memory(error);
        *ret_packed = steal_ptr(&packed);
        return 0;
}

static int reorder(const struct request *request, const void *source, void *target, struct error *error) {
        _cleanup_(kernels_freep) struct kernels *kernels = NULL;
        _cleanup_(call_freep) struct call *call = NULL;
        _cleanup_(freep) void *scratch = NULL;
        const struct kernel *kernel;
        int r;

        r = kernels_new(&kernels, 1, error);
        if (r >= 0)
                r = kernel_reorder_new(&kernel, kernels, request->as, request->want, error);
        if (r < 0)
                return r;
        /* oneDNN's Winograd transforms the weights on their way. */
        if (posix_memalign(&scratch, WEIGHTS_ALIGNMENT, kernel_scratch_bytes(kernel) + 1) != 0)
                return error_no_memory(error);
        r = call_new(&call, kernel, (void *[]){(void *)(uintptr_t)source, target}, scratch, error);
        if (r < 0)
                return r;
        return call_execute(call, error);
}

static int pack(struct packed *packed, const struct request *request, struct error *error) {
        const void *source = request->tensor->data;
        size_t bytes;

        if (!request->form && layout_equal(request->as, request->want) &&
            (uintptr_t)source % WEIGHTS_ALIGNMENT == 0) {
                packed->bytes = source;
                return 0;
        }
        if (!size_add(&bytes, MAX(request->n_bytes, 1u), WEIGHTS_ALIGNMENT - 1))
                return error_no_memory(error);
        packed->owned = aligned_alloc(WEIGHTS_ALIGNMENT, bytes & ~(size_t)(WEIGHTS_ALIGNMENT - 1));
        if (!packed->owned)
                return error_no_memory(error);
        packed->bytes = packed->owned;
        return request->form ? request->packer(request->params, source, packed->owned, error)
                             : reorder(request, source, packed->owned, error);
}

/* Gives back one reference; true: it was the last one, and packed is the caller's to free. */
static bool release_locked(struct packed *packed) {
        struct weights *weights = packed->weights;

        if (--packed->refs > 0)
                return false;
        if (packed->state == PACKED_READY) {
                table_remove(weights, packed);
                weights->bytes -= packed->n_bytes;
        }
        return true;
}

/* A reference to what another thread has made or is making; NULL: there is nothing, or it came to nothing.
 */
static struct packed *await_locked(struct weights *weights, const struct request *request) {
        struct packed *packed = table_find(weights, request);

        if (!packed)
                return NULL;
        packed->refs++;
        while (packed->state == PACKED_PENDING)
                pthread_cond_wait(&weights->settled, &weights->lock);
        if (packed->state == PACKED_READY)
                return packed;
        if (release_locked(packed))
                packed_free(packed);
        return NULL;
}

static int obtain(struct packed **ret_packed, struct weights *weights, const struct request *request,
                  struct error *error) {
        struct packed *packed;
        bool last = false;
        int r;

        pthread_mutex_lock(&weights->lock);
        packed = await_locked(weights, request);
        if (packed) {
                pthread_mutex_unlock(&weights->lock);
                *ret_packed = packed;
                return 0;
        }
        r = packed_new(&packed, weights, request, error);
        if (r >= 0)
                table_insert(weights, packed);
        pthread_mutex_unlock(&weights->lock);
        if (r < 0)
                return r;

        r = pack(packed, request, error);

        pthread_mutex_lock(&weights->lock);
        packed->state = r < 0 ? PACKED_FAILED : PACKED_READY;
        if (r < 0) {
                table_remove(weights, packed);
                last = release_locked(packed);
        } else {
                weights->bytes += packed->n_bytes;
        }
        pthread_cond_broadcast(&weights->settled);
        pthread_mutex_unlock(&weights->lock);
        if (last)
                packed_free(packed);
        if (r < 0)
                return r;
        *ret_packed = packed;
        return 0;
}

int weights_pack(struct packed **ret_packed, struct weights *weights, struct tensor *tensor,
                 const struct layout *as, const struct layout *want, struct error *error) {
        struct request request = {.tensor = tensor, .as = as, .want = want, .n_bytes = layout_bytes(want)};

        return obtain(ret_packed, weights, &request, error);
}

int weights_pack_form(struct packed **ret_packed, struct weights *weights, struct tensor *tensor,
                      const char *form, size_t bytes, weights_packer *packer, const void *params,
                      struct error *error) {
        struct request request = {
                .tensor = tensor, .form = form, .packer = packer, .params = params, .n_bytes = bytes};

        if (tensor->dtype != DTYPE_F32)
                return error_set(error, ERROR_UNSUPPORTED, "weights of %s; steps compute on float32",
                                 dtype_name(tensor->dtype));
        return obtain(ret_packed, weights, &request, error);
}

const void *packed_bytes(const struct packed *packed) {
        return packed->bytes;
}

void packed_unref(struct packed *packed) {
        struct weights *weights = packed->weights;
        bool last;

        pthread_mutex_lock(&weights->lock);
        last = release_locked(packed);
        pthread_mutex_unlock(&weights->lock);
        if (last)
                packed_free(packed);
}

size_t weights_bytes(struct weights *weights) {
        size_t bytes;

        pthread_mutex_lock(&weights->lock);
        bytes = weights->bytes;
        pthread_mutex_unlock(&weights->lock);
        return bytes;
}
