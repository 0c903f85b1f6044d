#include "engine/protobuf_guard.h"

#include <stdint.h>
#include <stdlib.h>

enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5 };

static int truncated(struct error *error) {
        return error_set(error, ERROR_INVALID,
                         "not an ONNX model, or a truncated one (protobuf ends early)");
}

static int varint_read(uint64_t *ret_value, const unsigned char **cursor, const unsigned char *end,
                       struct error *error) {
        uint64_t value = 0;

        for (unsigned shift = 0; shift < 64; shift += 7) {
                if (*cursor == end)
                        return truncated(error);
                value |= (uint64_t)(**cursor & 0x7f) << shift;
                if (!(*(*cursor)++ & 0x80)) {
                        *ret_value = value;
                        return 0;
                }
        }
        return error_set(error, ERROR_INVALID, "not an ONNX model (protobuf varint of more than 10 bytes)");
}

static int message_check(const ProtobufCMessageDescriptor *descriptor, const unsigned char *cursor,
                         const unsigned char *end, unsigned depth, struct error *error) {
        int r;

        if (depth > PROTOBUF_MAX_DEPTH)
                return error_set(error, ERROR_LIMIT, "messages nested deeper than %u", PROTOBUF_MAX_DEPTH);

        while (cursor < end) {
                const ProtobufCFieldDescriptor *field;
                uint64_t tag, length;

                r = varint_read(&tag, &cursor, end, error);
                if (r < 0)
                        return r;
                if (tag >> 3 == 0 || tag >> 3 > INT32_MAX)
                        return error_set(error, ERROR_INVALID,
                                         "not an ONNX model (protobuf field number %ju)",
                                         (uintmax_t)(tag >> 3));

                switch ((enum wire_type)(tag & 7)) {
                case WIRE_VARINT:
                        r = varint_read(&length, &cursor, end, error);
                        if (r < 0)
                                return r;
                        break;
                case WIRE_64BIT:
                case WIRE_32BIT:
                        length = (tag & 7) == WIRE_64BIT ? 8 : 4;
                        if ((uint64_t)(end - cursor) < length)
                                return truncated(error);
                        cursor += length;
                        break;
                case WIRE_LENGTH:
                        r = varint_read(&length, &cursor, end, error);
                        if (r < 0)
                                return r;
                        if ((uint64_t)(end - cursor) < length)
                                return truncated(error);
                        field = protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
                        if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
                                r = message_check(field->descriptor, cursor, cursor + length, depth + 1,
                                                  error);
                                if (r < 0)
                                        return r;
                        }
                        cursor += length;
                        break;
                default:
                        return error_set(error, ERROR_INVALID, "not an ONNX model (protobuf wire type %u)",
                                         (unsigned)(tag & 7));
                }
        }
        return 0;
}

int protobuf_check(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t size,
                   struct error *error) {
        return message_check(descriptor, bytes, (const unsigned char *)bytes + size, 1, error);
}

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
