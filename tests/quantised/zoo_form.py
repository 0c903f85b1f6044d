"""The form of resnet50-v1-12-int8.onnx of ONNX's model zoo: its quantiser wrote what is Gemm in other files as MatMul
and Add, so that QLinearMatMul and com.microsoft's QLinearAdd end the network."""
import numpy as np
from onnx import helper, numpy_helper


def attribute(node, name, default):
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def split_gemm(model):
    """In place: Gemm with constant weights becomes MatMul and Add."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        x, weight, bias = node.input
        values = numpy_helper.to_array(constants[weight])
        values = (values.T if attribute(node, "transB", 0) else values) * np.float32(attribute(node, "alpha", 1.0))
        constants[weight].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), weight))
        product = f"{node.output[0]}_product"
        nodes += [helper.make_node("MatMul", [x, weight], [product], name=f"{node.name}_matmul"),
                  helper.make_node("Add", [product, bias], node.output, name=f"{node.name}_add")]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
