#include "server/exemplar.h"

#include <stddef.h>
#include <string.h>

#include "base/macros.h"

#define READ_ATTEMPTS 8u

/* OpenMetrics 1.0, "Exemplars": names and values of the labels have at most 128 characters together. */
_Static_assert(sizeof("request_id") - 1 + REQUEST_ID_MAX + sizeof("trace_id") - 1 + TRACE_ID_SIZE <= 128,
               "the labels of an exemplar are too long");
_Static_assert(REQUEST_ID_MAX % 8 == 0 && TRACE_ID_SIZE % 8 == 0, "ids are kept in words of 8 bytes");

static void store_text(_Atomic uint64_t *words, size_t n_words, const char *text) {
        size_t size = text ? strnlen(text, n_words * 8) : 0;

        for (size_t i = 0; i < n_words; i++) {
                uint64_t word = 0;

                if (size > i * 8)
                        memcpy(&word, text + i * 8, MIN(size - i * 8, (size_t)8));
                atomic_store_explicit(&words[i], word, memory_order_relaxed);
        }
}

static void load_text(char *ret_text, const _Atomic uint64_t *words, size_t n_words) {
        for (size_t i = 0; i < n_words; i++) {
                uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);

                memcpy(ret_text + i * 8, &word, 8);
        }
        ret_text[n_words * 8] = 0;
}

/* A sequence lock whose data are atomic words, as in Boehm, "Can seqlocks get along with programming
 * language memory models?", 2012. */
void exemplar_offer(struct exemplar *exemplar, const struct exemplar_labels *labels, uint64_t value_ns,
                    uint64_t now_ms) {
        uint64_t sequence = atomic_load_explicit(&exemplar->sequence, memory_order_relaxed);
        uint64_t age_ms = now_ms - atomic_load_explicit(&exemplar->time_ms, memory_order_relaxed);

        if (sequence % 2 != 0 || (sequence > 0 && age_ms < EXEMPLAR_KEEP_MS))
                return;
        if (!atomic_compare_exchange_strong_explicit(&exemplar->sequence, &sequence, sequence + 1,
                                                     memory_order_acquire, memory_order_relaxed))
                return;
        atomic_thread_fence(memory_order_release);
        atomic_store_explicit(&exemplar->time_ms, now_ms, memory_order_relaxed);
        atomic_store_explicit(&exemplar->value_ns, value_ns, memory_order_relaxed);
        store_text(exemplar->id, EXEMPLAR_ID_WORDS, labels->request_id);
        store_text(exemplar->trace, EXEMPLAR_TRACE_WORDS, labels->trace_id);
        atomic_store_explicit(&exemplar->sequence, sequence + 2, memory_order_release);
}

bool exemplar_read(const struct exemplar *exemplar, struct exemplar_view *ret_view) {
        for (unsigned i = 0; i < READ_ATTEMPTS; i++) {
                uint64_t before = atomic_load_explicit(&exemplar->sequence, memory_order_acquire);
                struct exemplar_view view;

                if (before == 0)
                        return false;
                if (before % 2 != 0)
                        continue;
                view.time_ms = atomic_load_explicit(&exemplar->time_ms, memory_order_relaxed);
                view.value_ns = atomic_load_explicit(&exemplar->value_ns, memory_order_relaxed);
                load_text(view.request_id, exemplar->id, EXEMPLAR_ID_WORDS);
                load_text(view.trace_id, exemplar->trace, EXEMPLAR_TRACE_WORDS);
                atomic_thread_fence(memory_order_acquire);
                if (atomic_load_explicit(&exemplar->sequence, memory_order_relaxed) == before) {
                        *ret_view = view;
                        return true;
                }
        }
        return false;
}
