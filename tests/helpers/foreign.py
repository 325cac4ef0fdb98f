"""ONNX files as other people's tools write them: names, order and open axes that are not the suite's."""

from __future__ import annotations

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOATS = TensorProto.FLOAT


def linear(path, pixels="pixels", scores="scores", batch=1, features=12, classes=5, extra=()):
    """One linear layer on N×3×2×2. Returns its weights, features×classes.

    batch: a number, or the name of an open axis. extra: names of further outputs, which are N×features.
    """
    weights = numpy.random.default_rng(0).normal(size=(features, classes)).astype(numpy.float32)
    nodes = [
        helper.make_node("Flatten", [pixels], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], [scores]),
        *(helper.make_node("Identity", ["flat"], [name]) for name in extra),
    ]
    write(
        path,
        nodes,
        [(pixels, [batch, 3, 2, 2])],
        [*((name, [batch, features]) for name in extra), (scores, [batch, classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return weights


def pointwise(path, images="images", result="result", sizes=("batch", 3, "height", "width")):
    """Doubles each pixel: the output is as large as the input, both with these sizes."""
    nodes = [helper.make_node("Add", [images, images], [result])]
    write(path, nodes, [(images, sizes)], [(result, sizes)])


def weighted(path, names=("left", "right"), result="sum"):
    """left + 2 · right, of two inputs N×4, in this order of the names."""
    nodes = [
        helper.make_node("Add", ["right", "right"], ["twice"]),
        helper.make_node("Add", ["left", "twice"], [result]),
    ]
    write(path, nodes, [(name, [1, 4]) for name in names], [(result, [1, 4])])


def write(path, nodes, inputs, outputs, weights=()):
    """The graph in a file of opset 17. inputs and outputs: (name, sizes), a string for an open axis."""
    ports = [[helper.make_tensor_value_info(name, FLOATS, list(sizes)) for name, sizes in some]
             for some in (inputs, outputs)]  # fmt: skip
    graph = helper.make_graph(nodes, "foreign", *ports, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
