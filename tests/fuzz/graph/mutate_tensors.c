/* Mutations of initializers. */
#include <string.h>

#include "base/macros.h"
#include "tests/fuzz/graph/mutation.h"

#define RESIZE_MAX_BYTES ((size_t)64 << 10)

static Onnx__TensorProto *some_tensor(struct mutation *m) {
        return m->graph->n_initializer > 0
                       ? m->graph->initializer[mutation_below(m, m->graph->n_initializer)]
                       : NULL;
}

static size_t element_bytes(int32_t type) {
        static const unsigned char bytes[] = {
                [1] = 4, [2] = 1,  [3] = 1,  [4] = 2,  [5] = 2,  [6] = 4, [7] = 8,
                [9] = 1, [10] = 2, [11] = 8, [12] = 4, [13] = 8, [16] = 2};

        return type >= 0 && (size_t)type < sizeof(bytes) ? bytes[type] : 0;
}

/* Makes raw_data fit dims and type, repeating what is there, where that is not too much. */
static void refit(struct mutation *m, Onnx__TensorProto *tensor) {
        size_t bytes = element_bytes(tensor->data_type);
        uint8_t *data;

        if (!tensor->has_raw_data)
                return;
        for (size_t i = 0; i < tensor->n_dims; i++)
                if (tensor->dims[i] < 0 || !size_multiply(&bytes, bytes, (size_t)tensor->dims[i]))
                        return;
        if (bytes > RESIZE_MAX_BYTES)
                return;
        data = mutation_allocate(m, bytes, 1);
        for (size_t i = 0; i < bytes && tensor->raw_data.len > 0; i++)
                data[i] = tensor->raw_data.data[i % tensor->raw_data.len];
        tensor->raw_data = (ProtobufCBinaryData){.len = bytes, .data = data};
}

void mutate_dims(struct mutation *m) {
        Onnx__TensorProto *tensor = some_tensor(m);

        if (!tensor)
                return;
        switch (mutation_below(m, 4)) {
        case 0: {
                int64_t *dims = mutation_allocate(m, tensor->n_dims + 1, sizeof(*dims));

                if (tensor->n_dims > 0)
                        memcpy(dims, tensor->dims, tensor->n_dims * sizeof(*dims));
                dims[tensor->n_dims++] = mutation_one_in(m, 2) ? 1 : mutation_integer(m);
                tensor->dims = dims;
                break;
        }
        case 1:
                if (tensor->n_dims > 0)
                        tensor->n_dims--;
                break;
        default:
                if (tensor->n_dims > 0)
                        tensor->dims[mutation_below(m, tensor->n_dims)] = mutation_integer(m);
        }
        if (!mutation_one_in(m, 3))
                refit(m, tensor);
}

void mutate_type(struct mutation *m) {
        Onnx__TensorProto *tensor = some_tensor(m);

        if (!tensor)
                return;
        tensor->has_data_type = !mutation_one_in(m, 20);
        tensor->data_type = (int32_t)mutation_below(m, 20);
        if (!mutation_one_in(m, 3))
                refit(m, tensor);
}

void mutate_data(struct mutation *m) {
        Onnx__TensorProto *tensor = some_tensor(m);

        if (!tensor)
                return;
        if (tensor->has_raw_data && tensor->raw_data.len >= 8 && mutation_one_in(m, 2)) {
                int64_t integer = mutation_integer(m);
                float real = mutation_real(m);
                size_t wide = tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ? 8 : 4;
                size_t at = mutation_below(m, tensor->raw_data.len / wide) * wide;

                memcpy(tensor->raw_data.data + at, wide == 8 ? (void *)&integer : (void *)&real, wide);
        } else if (tensor->has_raw_data && mutation_one_in(m, 2)) {
                tensor->raw_data.len = mutation_below(m, tensor->raw_data.len + 1);
        } else if (tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64) {
                tensor->has_raw_data = false;
                tensor->n_int64_data = mutation_below(m, 6);
                tensor->int64_data = mutation_allocate(m, tensor->n_int64_data, sizeof(int64_t));
                for (size_t i = 0; i < tensor->n_int64_data; i++)
                        tensor->int64_data[i] = mutation_integer(m);
        } else {
                tensor->has_raw_data = mutation_one_in(m, 4) && tensor->has_raw_data;
                tensor->n_float_data = mutation_below(m, 20);
                tensor->float_data = mutation_allocate(m, tensor->n_float_data, sizeof(float));
                for (size_t i = 0; i < tensor->n_float_data; i++)
                        tensor->float_data[i] = mutation_real(m);
                tensor->n_int32_data = mutation_below(m, 20);
                tensor->int32_data = mutation_allocate(m, tensor->n_int32_data, sizeof(int32_t));
                for (size_t i = 0; i < tensor->n_int32_data; i++)
                        tensor->int32_data[i] = (int32_t)mutation_integer(m);
        }
}

static void add_entry(struct mutation *m, Onnx__TensorProto *tensor, const char *key, const char *value) {
        Onnx__StringStringEntryProto *entry = mutation_allocate(m, 1, sizeof(*entry));

        onnx__string_string_entry_proto__init(entry);
        entry->key = mutation_string(m, key);
        entry->value = mutation_string(m, value);
        tensor->external_data = mutation_insert(m, tensor->external_data, tensor->n_external_data,
                                                tensor->n_external_data, entry);
        tensor->n_external_data++;
}

/* The target's directory has a file "data", a link to it, one to the directory above, a folder and a FIFO.
 */
void mutate_external(struct mutation *m) {
        static const char *const locations[] = {
                "data", "data",      "link",   "up/data", "../data", "/etc/passwd", "folder/data",
                "",     "folder",    "fifo",   ".",       "..",      "./data",      "folder/../data",
                "/",    "data/data", "nobody", "data/",   "//data",  "folder/up",   "..\\data",
        };
        static const char *const numbers[] = {
                "0",  "1",  "4",   "4096", "18446744073709551615",       "4095",
                "-1", "0x", "1e3", "",     "99999999999999999999999999", "64"};
        Onnx__TensorProto *tensor = some_tensor(m);

        if (!tensor)
                return;
        tensor->has_data_location = true;
        tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
        if (mutation_one_in(m, 2))
                tensor->has_raw_data = false;
        if (!mutation_one_in(m, 10))
                add_entry(m, tensor, "location", locations[mutation_below(m, ARRAY_SIZE(locations))]);
        if (mutation_one_in(m, 3))
                add_entry(m, tensor, "offset", numbers[mutation_below(m, ARRAY_SIZE(numbers))]);
        if (mutation_one_in(m, 3))
                add_entry(m, tensor, "length", numbers[mutation_below(m, ARRAY_SIZE(numbers))]);
}

void mutate_initializers(struct mutation *m) {
        Onnx__GraphProto *graph = m->graph;
        size_t index = mutation_below(m, graph->n_initializer);

        if (graph->n_initializer == 0)
                return;
        if (mutation_one_in(m, 3)) {
                mutation_remove(graph->initializer, &graph->n_initializer, index);
        } else if (mutation_one_in(m, 2)) {
                graph->initializer[index]->name = mutation_name(m);
        } else {
                Onnx__TensorProto *copy = mutation_allocate(m, 1, sizeof(*copy));

                *copy = *graph->initializer[index];
                copy->name = mutation_one_in(m, 4) ? mutation_name(m) : mutation_fresh_name(m);
                graph->initializer =
                        mutation_insert(m, graph->initializer, graph->n_initializer, index, copy);
                graph->n_initializer++;
        }
}
