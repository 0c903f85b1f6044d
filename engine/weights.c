#include "engine/weights.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/pages.h"

#define WEIGHTS_ALIGNMENT   SLAB_ALIGNMENT
#define WEIGHTS_MIN_BUCKETS 64u /* a power of two */
#define STAGING_MIN_BYTES   ((size_t)2 << 20)
#define STAGING_MAX_BYTES                                                                                   \
        ((size_t)32 << 20) /* where a layout can be filled part by part; VGG has 392 MiB in one */

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
        void *owned; /* in the slab; NULL: the tensor's own bytes */

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
        struct slab *slab;

        /* Elements on their way from a file to a packed form; NULL while a thread has it. */
        void *staging;
        size_t staging_bytes;
};

int weights_new(struct weights **ret_weights, struct error *error) {
        _cleanup_(freep) struct weights *weights = calloc(1, sizeof(*weights));
        _cleanup_(freep) struct packed **buckets = calloc(WEIGHTS_MIN_BUCKETS, sizeof(*buckets));

        if (!weights || !buckets)
                return error_no_memory(error);
        weights->slab = slab_new();
        if (!weights->slab)
                return error_no_memory(error);
        weights->buckets = steal_ptr(&buckets);
        weights->n_buckets = WEIGHTS_MIN_BUCKETS;
        pthread_mutex_init(&weights->lock, NULL);
        pthread_cond_init(&weights->settled, NULL);
        *ret_weights = steal_ptr(&weights);
        return 0;
}

void weights_free(struct weights *weights) {
        pthread_cond_destroy(&weights->settled);
        pthread_mutex_destroy(&weights->lock);
        pages_unmap(weights->staging, weights->staging_bytes);
        slab_free(weights->slab);
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
        slab_release(packed->weights->slab, packed->owned, packed->n_bytes);
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

/* ---- the bytes ---- */

static int reorder(const struct layout *as, const struct layout *want, const void *source, void *target,
                   struct error *error) {
        _cleanup_(kernels_freep) struct kernels *kernels = NULL;
        _cleanup_(call_freep) struct call *call = NULL;
        _cleanup_(freep) void *scratch = NULL;
        const struct kernel *kernel;
        int r;

        r = kernels_new(&kernels, 1, error);
        if (r >= 0)
                r = kernel_reorder_new(&kernel, kernels, as, want, error);
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

/* The staging buffer of the weights, or another where a thread has that. */
static int staging_take(struct weights *weights, void **ret_bytes, size_t *ret_size, size_t bytes,
                        struct error *error) {
        void *staging;
        size_t size;

        pthread_mutex_lock(&weights->lock);
        staging = weights->staging;
        size = weights->staging_bytes;
        weights->staging = NULL;
        weights->staging_bytes = 0;
        pthread_mutex_unlock(&weights->lock);
        if (!staging || size < bytes) {
                pages_unmap(staging, size);
                size = MAX(bytes, STAGING_MIN_BYTES);
                staging = pages_map(size);
        }
        if (!staging)
                return error_no_memory(error);
        *ret_bytes = staging;
        *ret_size = size;
        return 0;
}

/* Keeps the larger one. */
static void staging_give_back(struct weights *weights, void *staging, size_t size) {
        pthread_mutex_lock(&weights->lock);
        if (size > weights->staging_bytes) {
                void *other = weights->staging;
                size_t other_size = weights->staging_bytes;

                weights->staging = staging;
                weights->staging_bytes = size;
                staging = other;
                size = other_size;
        }
        pthread_mutex_unlock(&weights->lock);
        pages_unmap(staging, size);
}

static size_t rows_of(const struct tensor *tensor) {
        return tensor->shape.rank > 0 ? tensor->shape.dims[0] : 1;
}

static int make(const struct request *request, const void *source, void *target, struct error *error) {
        return request->form
                       ? request->packer(request->params, 0, rows_of(request->tensor), source, target, error)
                       : reorder(request->as, request->want, source, target, error);
}

/* All elements at once: fetched, then packed. */
static int pack_staged(struct weights *weights, const struct request *request, void *target,
                       struct error *error) {
        struct tensor *tensor = request->tensor;
        void *staging;
        size_t size;
        int r;

        r = staging_take(weights, &staging, &size, tensor_bytes(tensor), error);
        if (r < 0)
                return r;
        r = tensor_fetch(tensor, 0, tensor->n_elements, staging, error);
        if (r >= 0)
                r = make(request, staging, target, error);
        staging_give_back(weights, staging, size);
        return r;
}

/* Which parts of a layout are packed one after the other: ranges of the dimension that is outermost in the
 * tensor. */
struct parts {
        size_t dim, end, rows; /* indexes: of all, of a part */
        size_t row_elements;
};

/* False: the tensor is small enough, or its form cannot be filled in parts. */
static bool parts_of(struct parts *ret_parts, const struct request *request) {
        struct parts parts = {.end = rows_of(request->tensor)};
        size_t block, element = dtype_bytes(request->tensor->dtype);

        if (tensor_bytes(request->tensor) <= STAGING_MAX_BYTES)
                return false;
        if (request->form) {
                parts.row_elements = request->tensor->n_elements / parts.end;
                parts.rows = STAGING_MAX_BYTES / element / parts.row_elements;
                *ret_parts = parts;
                return parts.rows > 0;
        }
        parts.dim = layout_outermost(request->as);
        parts.end = layout_shape(request->as).dims[parts.dim];
        parts.row_elements = request->tensor->n_elements / parts.end;
        block = layout_block(request->want, parts.dim);
        parts.rows = STAGING_MAX_BYTES / element / parts.row_elements / block * block;
        *ret_parts = parts;
        return parts.rows > 0 && parts.rows < parts.end;
}

static int pack_part(const struct request *request, const struct parts *parts, size_t first, void *staging,
                     void *target, struct error *error) {
        _cleanup_(kernels_freep) struct kernels *kernels = NULL;
        size_t rows = MIN(parts->rows, parts->end - first);
        const struct layout *as, *want;
        int r;

        if (request->form) {
                r = tensor_fetch(request->tensor, first * parts->row_elements, rows * parts->row_elements,
                                 staging, error);
                return r < 0 ? r : request->packer(request->params, first, rows, staging, target, error);
        }
        r = kernels_new(&kernels, 1, error);
        if (r < 0)
                return r;
        as = layout_part(kernels, request->as, parts->dim, 0, rows);
        want = layout_part(kernels, request->want, parts->dim, first, rows);
        if (!as || !want)
                return error_set(error, ERROR_UNSUPPORTED, "a part of a layout");
        r = tensor_fetch(request->tensor, first * parts->row_elements, rows * parts->row_elements, staging,
                         error);
        if (r < 0)
                return r;
        return reorder(as, want, staging, target, error);
}

/* Fails with ERROR_UNSUPPORTED where this layout has no parts. */
static int pack_in_parts(struct weights *weights, const struct request *request, const struct parts *parts,
                         void *target, struct error *error) {
        void *staging;
        size_t size;
        int r;

        r = staging_take(weights, &staging, &size, STAGING_MAX_BYTES, error);
        if (r < 0)
                return r;
        for (size_t first = 0; r >= 0 && first < parts->end; first += parts->rows)
                r = pack_part(request, parts, first, staging, target, error);
        staging_give_back(weights, staging, size);
        return r;
}

static bool has_aligned_data(const struct tensor *tensor) {
        return !tensor->origin && (uintptr_t)tensor->data % WEIGHTS_ALIGNMENT == 0;
}

static int pack(struct packed *packed, const struct request *request, struct error *error) {
        struct tensor *tensor = request->tensor;
        bool as_it_is = !request->form && layout_equal(request->as, request->want);
        struct parts parts;
        int r;

        if (request->as && layout_bytes(request->as) != tensor_bytes(tensor))
                return error_set(error, ERROR_INTERNAL, "weights of %zu bytes seen as %zu",
                                 tensor_bytes(tensor), layout_bytes(request->as));
        if (as_it_is && has_aligned_data(tensor)) {
                packed->bytes = tensor->data;
                return 0;
        }
        packed->owned = slab_allocate(packed->weights->slab, request->n_bytes);
        if (!packed->owned)
                return error_no_memory(error);
        packed->bytes = packed->owned;
        if (request->form)
                memset(packed->owned, 0, request->n_bytes);
        if (as_it_is)
                return tensor_fetch(tensor, 0, tensor->n_elements, packed->owned, error);
        if (has_aligned_data(tensor))
                return make(request, tensor->data, packed->owned, error);
        if (parts_of(&parts, request)) {
                r = pack_in_parts(packed->weights, request, &parts, packed->owned, error);
                if (r != ERROR_UNSUPPORTED)
                        return r;
        }
        return pack_staged(packed->weights, request, packed->owned, error);
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
                      const char *form, size_t bytes, enum dtype dtype, weights_packer *packer,
                      const void *params, struct error *error) {
        struct request request = {
                .tensor = tensor, .form = form, .packer = packer, .params = params, .n_bytes = bytes};

        if (tensor->dtype != dtype)
                return error_set(error, ERROR_UNSUPPORTED, "weights of %s; the step takes %s",
                                 dtype_name(tensor->dtype), dtype_name(dtype));
        return obtain(ret_packed, weights, &request, error);
}

size_t weights_form_bytes(struct weights *weights, const struct tensor *tensor, const char *form) {
        const struct packed *packed;
        size_t bytes = 0;

        pthread_mutex_lock(&weights->lock);
        for (packed = *bucket_of(weights, tensor); packed && bytes == 0; packed = packed->next)
                if (packed->tensor == tensor && packed->form && strcmp(packed->form, form) == 0)
                        bytes = packed->n_bytes;
        pthread_mutex_unlock(&weights->lock);
        return bytes;
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

void weights_settle(struct weights *weights) {
        void *staging;
        size_t size;

        pthread_mutex_lock(&weights->lock);
        staging = weights->staging;
        size = weights->staging_bytes;
        weights->staging = NULL;
        weights->staging_bytes = 0;
        pthread_mutex_unlock(&weights->lock);
        pages_unmap(staging, size);
}

size_t weights_bytes(struct weights *weights) {
        size_t bytes;

        pthread_mutex_lock(&weights->lock);
        bytes = weights->bytes;
        pthread_mutex_unlock(&weights->lock);
        return bytes;
}
