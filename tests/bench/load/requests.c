#include "tests/bench/load/requests.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/macros.h"

static bool before(const struct request *a, const struct request *b) {
        return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void swap(struct request *a, struct request *b) {
        struct request other = *a;

        *a = *b;
        *b = other;
}

int requests_put(struct requests *requests, const struct request *request) {
        struct request *heap = requests->heap;
        size_t i = requests->n;

        if (requests->n == requests->capacity) {
                size_t capacity = MAX(requests->capacity * 2, (size_t)1024);

                heap = reallocarray(heap, capacity, sizeof(*heap));
                if (!heap)
                        return ERROR_NO_MEMORY;
                requests->heap = heap;
                requests->capacity = capacity;
        }
        heap[requests->n++] = *request;
        heap[i].sequence = requests->next_sequence++;
        for (; i > 0 && before(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2)
                swap(&heap[i], &heap[(i - 1) / 2]);
        return 0;
}

uint64_t requests_due_ns(const struct requests *requests) {
        return requests->n > 0 ? requests->heap[0].due_ns : UINT64_MAX;
}

struct request requests_take(struct requests *requests) {
        struct request *heap = requests->heap, first = heap[0];
        size_t i = 0;

        heap[0] = heap[--requests->n];
        for (;;) {
                size_t least = i, left = 2 * i + 1, right = left + 1;

                if (left < requests->n && before(&heap[left], &heap[least]))
                        least = left;
                if (right < requests->n && before(&heap[right], &heap[least]))
                        least = right;
                if (least == i)
                        return first;
                swap(&heap[i], &heap[least]);
                i = least;
        }
}

void requests_release(struct requests *requests) {
        free(requests->heap);
        *requests = (struct requests){0};
}
