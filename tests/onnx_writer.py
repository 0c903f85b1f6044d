"""Writes ONNX models without any package: the fields of onnx.proto by hand (protobuf, encoding)."""
import array

FLOAT = 1


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """A varint for an int, bytes with their length for all else."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def tensor(name, dims, values):
    """float32; values: an array of floats."""
    return b"".join(field(1, d) for d in dims) + field(2, FLOAT) + field(8, name) + field(9, values.tobytes())


def node(operator, inputs, output, **attributes):
    """Attributes are lists of integers."""
    data = b"".join(field(1, name) for name in inputs) + field(2, output) + field(3, output) + field(4, operator)
    for name, integers in attributes.items():
        data += field(5, field(1, name) + field(20, 7) + b"".join(field(8, i) for i in integers))
    return data


def value_info(name, dims):
    shape = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def model(nodes, initializers, input_dims, output_dims):
    """The input is "input", the output that of the last node; opset 13."""
    output = nodes[-1][0]
    graph = b"".join(field(1, data) for _, data in nodes) + field(2, "g")
    graph += b"".join(field(5, data) for data in initializers)
    graph += field(11, value_info("input", input_dims)) + field(12, value_info(output, output_dims))
    return field(1, 7) + field(8, field(1, "") + field(2, 13)) + field(7, graph)


def noise(count, scale):
    """floats that look like nothing, always the same; soon made: a piece again and again."""
    state, piece = 1, array.array("f")
    for _ in range(min(count, 4099)):
        state = (state * 1103515245 + 12345) % 2**31
        piece.append((state / 2**30 - 1) * scale)
    return (piece * (count // len(piece) + 1))[:count]


def classifier(layers, channels=1024, batch_norm=False):
    """[N, 3, 32, 32] -> [N, channels]: a convolution over patches, then layers of 1x1 ones with Relu: 4 MiB of weights
    each for 1024 channels, and little to compute."""
    nodes, initializers, value = [], [], "input"

    def add(operator, inputs, **attributes):
        nonlocal value
        value = f"value{len(nodes)}"
        nodes.append((value, node(operator, inputs, value, **attributes)))

    def constant(dims, scale, offset=0.0):
        count = 1
        for dim in dims:
            count *= dim
        values = noise(count, scale)
        if offset:
            values = array.array("f", [x + offset for x in values])
        initializers.append(tensor(f"constant{len(initializers)}", dims, values))
        return f"constant{len(initializers) - 1}"

    add("Conv", [value, constant([channels, 3, 8, 8], 0.1)], strides=[8, 8])
    for _ in range(layers):
        add("Conv", [value, constant([channels, channels, 1, 1], (6 / channels) ** 0.5)])
        if batch_norm:
            add("BatchNormalization", [value, constant([channels], 0.5, 1), constant([channels], 0.5),
                                       constant([channels], 0.5), constant([channels], 0.5, 1)])
        add("Relu", [value])
    add("GlobalAveragePool", [value])
    add("Flatten", [value])
    return model(nodes, initializers, ["N", 3, 32, 32], ["N", channels])
