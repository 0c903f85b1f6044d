#pragma once
/*
 * protobuf_guard: makes unpacking of hostile protobuf messages safe with protobuf-c, which recurses without
 * a limit and allocates a struct for each sub-message, however small that is on the wire.
 */
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define PROTOBUF_MAX_DEPTH 64u /* messages in messages; a Loop in an If in a function needs some 20 */

/*
 * Walks the message by its descriptor without allocating. Fails with ERROR_INVALID where the wire format is
 * broken and with ERROR_LIMIT where messages nest deeper than PROTOBUF_MAX_DEPTH.
 */
int protobuf_check(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t size,
                   struct error *error);

/* An allocator for protobuf_c_message_unpack() that refuses beyond a budget. Free with its own free or with
 * free(). */
struct protobuf_budget {
        ProtobufCAllocator allocator;
        size_t left; /* bytes */
        bool exhausted;
};

void protobuf_budget_init(struct protobuf_budget *budget, size_t bytes);
