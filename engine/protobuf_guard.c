#include "engine/protobuf_guard.h"

#include <stdlib.h>

static void *budget_allocate(void *data, size_t size) {
        struct protobuf_budget *budget = data;

        if (size > budget->left) {
                budget->exhausted = true;
                return NULL;
        }
        budget->left -= size;
        return malloc(size);
}

static void budget_free(void *data, void *pointer) {
        (void)data;
        free(pointer);
}

void protobuf_budget_init(struct protobuf_budget *budget, size_t bytes) {
        *budget = (struct protobuf_budget){
                .allocator = {.alloc = budget_allocate, .free = budget_free, .allocator_data = budget},
                .left = bytes,
        };
}
