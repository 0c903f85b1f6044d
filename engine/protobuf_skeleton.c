#include "engine/protobuf_skeleton.h"

#include <stdlib.h>
#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5 };

/* Fields that no message defines: the highest numbers there are (protobuf, encoding: 2^29 - 1). */
enum {
        FIELD_MAX = (1 << 29) - 1,
        FIELD_OFFSET = FIELD_MAX,
        FIELD_BYTES = FIELD_MAX - 1,
        FIELD_NUMBER = FIELD_MAX - 2
};

#define WINDOW_BYTES     ((size_t)16 << 10)
#define VARINT_MAX_BYTES 10u

struct walk {
        const struct source *source;
        const struct protobuf_payloads *payloads;
        struct protobuf_skeleton skeleton;
        unsigned char window[WINDOW_BYTES];
        uint64_t window_start;
        size_t window_bytes;
};

/* A tag, what follows it, and what that is a part of. */
struct field {
        unsigned number;
        enum wire_type wire_type;
        uint64_t start, payload, end; /* offsets: of the tag, behind it and a length, behind all */
        const ProtobufCFieldDescriptor *descriptor; /* NULL: unknown */
};

static int truncated(struct error *error) {
        return error_set(error, ERROR_INVALID,
                         "not an ONNX model, or a truncated one (protobuf ends early)");
}

/* ---- reading ---- */

static int byte_read(struct walk *walk, uint64_t offset, unsigned char *ret_byte, struct error *error) {
        if (offset - walk->window_start >= walk->window_bytes) {
                size_t n = (size_t)MIN(source_size(walk->source) - offset, (uint64_t)WINDOW_BYTES);
                int r;

                walk->window_bytes = 0;
                r = source_read(walk->source, offset, walk->window, n, error);
                if (r < 0)
                        return r;
                walk->window_start = offset;
                walk->window_bytes = n;
        }
        *ret_byte = walk->window[offset - walk->window_start];
        return 0;
}

static int varint_read(struct walk *walk, uint64_t *ret_value, uint64_t *offset, uint64_t end,
                       struct error *error) {
        uint64_t value = 0;
        unsigned char byte;
        int r;

        for (unsigned shift = 0; shift < 64; shift += 7) {
                if (*offset == end)
                        return truncated(error);
                r = byte_read(walk, *offset, &byte, error);
                if (r < 0)
                        return r;
                (*offset)++;
                value |= (uint64_t)(byte & 0x7f) << shift;
                if (!(byte & 0x80)) {
                        *ret_value = value;
                        return 0;
                }
        }
        return error_set(error, ERROR_INVALID, "not an ONNX model (protobuf varint of more than 10 bytes)");
}

static int field_read(struct walk *walk, struct field *ret_field,
                      const ProtobufCMessageDescriptor *descriptor, uint64_t offset, uint64_t end,
                      struct error *error) {
        struct field field = {.start = offset};
        uint64_t tag, length = 0;
        int r;

        r = varint_read(walk, &tag, &offset, end, error);
        if (r < 0)
                return r;
        if (tag >> 3 == 0 || tag >> 3 > INT32_MAX)
                return error_set(error, ERROR_INVALID, "not an ONNX model (protobuf field number %ju)",
                                 (uintmax_t)(tag >> 3));
        field.number = (unsigned)(tag >> 3);
        field.wire_type = (enum wire_type)(tag & 7);
        field.payload = offset;
        switch (field.wire_type) {
        case WIRE_VARINT:
                r = varint_read(walk, &tag, &offset, end, error);
                break;
        case WIRE_64BIT:
        case WIRE_32BIT:
                length = field.wire_type == WIRE_64BIT ? 8 : 4;
                break;
        case WIRE_LENGTH:
                r = varint_read(walk, &length, &offset, end, error);
                field.payload = offset;
                break;
        default:
                return error_set(error, ERROR_INVALID, "not an ONNX model (protobuf wire type %u)",
                                 (unsigned)field.wire_type);
        }
        if (r < 0)
                return r;
        if (length > end - offset)
                return truncated(error);
        field.end = offset + length;
        field.descriptor = protobuf_c_message_descriptor_get_field(descriptor, field.number);
        *ret_field = field;
        return 0;
}

/* ---- writing ---- */

static int skeleton_grow(struct protobuf_skeleton *skeleton, size_t bytes, struct error *error) {
        size_t needed, allocated;
        unsigned char *grown;

        if (!size_add(&needed, skeleton->size, bytes))
                return error_no_memory(error);
        if (needed <= skeleton->allocated)
                return 0;
        allocated = MAX(MAX(needed, 2 * skeleton->allocated), WINDOW_BYTES);
        grown = realloc(skeleton->bytes, allocated);
        if (!grown)
                return error_no_memory(error);
        skeleton->bytes = grown;
        skeleton->allocated = allocated;
        return 0;
}

static int source_append(struct walk *walk, uint64_t offset, size_t bytes, struct error *error) {
        struct protobuf_skeleton *skeleton = &walk->skeleton;
        int r;

        r = skeleton_grow(skeleton, bytes, error);
        if (r < 0)
                return r;
        if (offset >= walk->window_start && offset + bytes <= walk->window_start + walk->window_bytes)
                memcpy(skeleton->bytes + skeleton->size, walk->window + (offset - walk->window_start),
                       bytes);
        else
                r = source_read(walk->source, offset, skeleton->bytes + skeleton->size, bytes, error);
        if (r < 0)
                return r;
        skeleton->size += bytes;
        return 0;
}

static size_t varint_put(unsigned char bytes[VARINT_MAX_BYTES], uint64_t value) {
        size_t n = 0;

        for (; value >= 0x80; value >>= 7)
                bytes[n++] = (unsigned char)((value & 0x7f) | 0x80);
        bytes[n++] = (unsigned char)value;
        return n;
}

static int tag_append(struct walk *walk, unsigned field, enum wire_type wire_type, struct error *error) {
        struct protobuf_skeleton *skeleton = &walk->skeleton;
        int r;

        r = skeleton_grow(skeleton, VARINT_MAX_BYTES, error);
        if (r < 0)
                return r;
        skeleton->size += varint_put(skeleton->bytes + skeleton->size, (uint64_t)field << 3 | wire_type);
        return 0;
}

static int number_append(struct walk *walk, unsigned field, uint64_t number, struct error *error) {
        struct protobuf_skeleton *skeleton = &walk->skeleton;
        int r;

        r = tag_append(walk, field, WIRE_64BIT, error);
        if (r >= 0)
                r = skeleton_grow(skeleton, sizeof(number), error);
        if (r < 0)
                return r;
        memcpy(skeleton->bytes + skeleton->size, &number, sizeof(number));
        skeleton->size += sizeof(number);
        return 0;
}

static int extent_append(struct walk *walk, const struct field *field, struct error *error) {
        int r;

        r = number_append(walk, FIELD_NUMBER, field->number, error);
        if (r >= 0)
                r = number_append(walk, FIELD_OFFSET, field->payload, error);
        if (r >= 0)
                r = number_append(walk, FIELD_BYTES, field->end - field->payload, error);
        return r;
}

/* ---- the walk ---- */

static bool is_payload(const struct protobuf_payloads *payloads, const struct field *field) {
        for (size_t i = 0; i < payloads->n_fields; i++)
                if (payloads->fields[i] == field->number)
                        return true;
        return false;
}

/* The offset of the one field to leave out of a message; UINT64_MAX: none. */
static int payload_find(struct walk *walk, uint64_t *ret_start, const ProtobufCMessageDescriptor *descriptor,
                        uint64_t offset, uint64_t end, struct error *error) {
        uint64_t start = UINT64_MAX;
        size_t n = 0;
        int r;

        while (offset < end && descriptor == walk->payloads->message) {
                struct field field;

                r = field_read(walk, &field, descriptor, offset, end, error);
                if (r < 0)
                        return r;
                if (is_payload(walk->payloads, &field)) {
                        n++;
                        if (field.wire_type == WIRE_LENGTH &&
                            field.end - field.payload > walk->payloads->min_bytes)
                                start = field.start;
                }
                offset = field.end;
        }
        *ret_start = n == 1 ? start : UINT64_MAX;
        return 0;
}

static int message_walk(struct walk *walk, const ProtobufCMessageDescriptor *descriptor, uint64_t offset,
                        uint64_t end, unsigned depth, struct error *error);

static int submessage_walk(struct walk *walk, const struct field *field, unsigned depth,
                           struct error *error) {
        struct protobuf_skeleton *skeleton = &walk->skeleton;
        unsigned char length[VARINT_MAX_BYTES];
        size_t begin, bytes, n;
        int r;

        r = tag_append(walk, field->number, WIRE_LENGTH, error);
        if (r < 0)
                return r;
        begin = skeleton->size;
        r = message_walk(walk, field->descriptor->descriptor, field->payload, field->end, depth + 1, error);
        if (r >= 0)
                r = skeleton_grow(skeleton, VARINT_MAX_BYTES, error);
        if (r < 0)
                return r;
        /* The length is known only now, and goes before what it counts. */
        bytes = skeleton->size - begin;
        n = varint_put(length, bytes);
        memmove(skeleton->bytes + begin + n, skeleton->bytes + begin, bytes);
        memcpy(skeleton->bytes + begin, length, n);
        skeleton->size += n;
        return 0;
}

static int message_walk(struct walk *walk, const ProtobufCMessageDescriptor *descriptor, uint64_t offset,
                        uint64_t end, unsigned depth, struct error *error) {
        uint64_t payload;
        int r;

        if (depth > PROTOBUF_MAX_DEPTH)
                return error_set(error, ERROR_LIMIT, "messages nested deeper than %u", PROTOBUF_MAX_DEPTH);
        r = payload_find(walk, &payload, descriptor, offset, end, error);
        if (r < 0)
                return r;
        while (offset < end) {
                struct field field;

                r = field_read(walk, &field, descriptor, offset, end, error);
                if (r < 0)
                        return r;
                if (field.start == payload)
                        r = extent_append(walk, &field, error);
                else if (field.wire_type == WIRE_LENGTH && field.descriptor &&
                         field.descriptor->type == PROTOBUF_C_TYPE_MESSAGE)
                        r = submessage_walk(walk, &field, depth, error);
                else if (field.number < FIELD_NUMBER)
                        r = source_append(walk, field.start, (size_t)(field.end - field.start), error);
                if (r < 0)
                        return r;
                offset = field.end;
        }
        return 0;
}

int protobuf_skeleton_read(struct protobuf_skeleton *ret_skeleton,
                           const ProtobufCMessageDescriptor *descriptor,
                           const struct protobuf_payloads *payloads, const struct source *source,
                           struct error *error) {
        _cleanup_(freep) struct walk *walk = malloc(sizeof(*walk));
        int r;

        if (!walk)
                return error_no_memory(error);
        *walk = (struct walk){.source = source, .payloads = payloads};
        r = message_walk(walk, descriptor, 0, source_size(source), 1, error);
        if (r < 0) {
                protobuf_skeleton_release(&walk->skeleton);
                return r;
        }
        *ret_skeleton = walk->skeleton;
        return 0;
}

void protobuf_skeleton_release(struct protobuf_skeleton *skeleton) {
        free(skeleton->bytes);
        *skeleton = (struct protobuf_skeleton){0};
}

struct protobuf_extent protobuf_extent_of(const ProtobufCMessage *message) {
        struct protobuf_extent extent = {0};

        for (unsigned i = 0; i < message->n_unknown_fields; i++) {
                const ProtobufCMessageUnknownField *field = &message->unknown_fields[i];
                uint64_t number;

                if (field->wire_type != PROTOBUF_C_WIRE_TYPE_64BIT || field->len != sizeof(number))
                        continue;
                memcpy(&number, field->data, sizeof(number));
                if (field->tag == FIELD_NUMBER)
                        extent.field = (unsigned)number;
                else if (field->tag == FIELD_OFFSET)
                        extent.offset = number;
                else if (field->tag == FIELD_BYTES)
                        extent.bytes = number;
        }
        return extent;
}
