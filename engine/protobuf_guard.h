#pragma once
/*
 * protobuf_guard: bounds the memory of unpacking hostile protobuf messages with protobuf-c, which allocates
 * a struct for each sub-message, however small that is on the wire. How deep they nest is bounded by
 * protobuf_skeleton.
 */
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* An allocator for protobuf_c_message_unpack() that refuses beyond a budget. Free with its own free or with
 * free(). */
struct protobuf_budget {
        ProtobufCAllocator allocator;
        size_t left; /* bytes */
        bool exhausted;
};

void protobuf_budget_init(struct protobuf_budget *budget, size_t bytes);
