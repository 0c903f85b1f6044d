#pragma once
/*
 * protobuf_skeleton: a protobuf message without its large payloads, which stay where they are.
 *
 * Of a model file nearly everything is weights. The skeleton is the same message, read from a source piece
 * by piece, with an extent in place of each payload: where it lies. protobuf-c unpacks the skeleton; extents
 * survive as unknown fields. On the way the wire format is checked, and how deep messages nest (protobuf-c
 * recurses without a limit). Nothing is taken for an extent that stands in the source itself.
 */
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/source.h"

#define PROTOBUF_MAX_DEPTH 64u /* messages in messages; a Loop in an If in a function needs some 20 */

/* Payloads to leave out: those of one kind of message, in fields that are bytes or packed numbers, of more
 * than min_bytes. Only where such a message has one of them, and in one piece, so that nothing need be
 * joined. */
struct protobuf_payloads {
        const ProtobufCMessageDescriptor *message;
        const unsigned *fields;
        size_t n_fields;
        size_t min_bytes;
};

struct protobuf_skeleton {
        unsigned char *bytes;
        size_t size, allocated;
};

/* Fails with ERROR_INVALID where the wire format is broken, with ERROR_LIMIT where messages nest deeper than
 * PROTOBUF_MAX_DEPTH, and with what reading fails with. */
int protobuf_skeleton_read(struct protobuf_skeleton *ret_skeleton,
                           const ProtobufCMessageDescriptor *descriptor,
                           const struct protobuf_payloads *payloads, const struct source *source,
                           struct error *error);
void protobuf_skeleton_release(struct protobuf_skeleton *skeleton);

struct protobuf_extent {
        unsigned field; /* 0: nothing was left out */
        uint64_t offset, bytes;
};

/* What was left out of a message that was unpacked from a skeleton. */
struct protobuf_extent protobuf_extent_of(const ProtobufCMessage *message);
