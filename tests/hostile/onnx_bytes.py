"""ONNX files by the bytes of protobuf's wire format: the standard library has no writer for them. Field numbers are
those of onnx.proto."""
import struct

FLOAT, INT64 = 1, 7


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, value):
    """A field of an integer, a float, or of bytes, text or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(number, values):
    return b"".join(field(number, value) for value in values)


def tensor(name, kind, dims, data):
    return fields(1, dims) + field(2, kind) + field(8, name) + field(9, data)


def floats(name, *dims, value=0.1):
    count = 1
    for dim in dims:
        count *= dim
    return tensor(name, FLOAT, dims, struct.pack("<f", value) * count)


def integers(name, *values):
    return tensor(name, INT64, [len(values)], struct.pack(f"<{len(values)}q", *values))


def attribute(name, value):
    start = field(1, name)
    if isinstance(value, int):
        return start + field(3, value) + field(20, 2)
    if isinstance(value, float):
        return start + field(2, value) + field(20, 1)
    if isinstance(value, str):
        return start + field(4, value) + field(20, 3)
    return start + fields(8, value) + field(20, 7)


def node(operator, inputs, outputs, name="", **attributes):
    return (fields(1, inputs) + fields(2, outputs) + (field(3, name) if name else b"") + field(4, operator)
            + b"".join(field(5, attribute(key, value)) for key, value in attributes.items()))


def model(nodes, output, initializers=(), shape=("N", 3, 8, 8), opset=13):
    dims = b"".join(field(1, field(1, dim) if isinstance(dim, int) else field(2, dim)) for dim in shape)
    kind = field(1, field(1, FLOAT) + field(2, dims))
    graph = (fields(1, nodes) + field(2, "hostile") + fields(5, initializers)
             + field(11, field(1, "input") + field(2, kind)) + field(12, field(1, output)))
    return field(1, 7) + field(7, graph) + field(8, field(1, "") + field(2, opset))
