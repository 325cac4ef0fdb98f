"""ONNX Runtime's profile: times of nodes, and the exported nodes that its optimiser fused into each."""

from __future__ import annotations

import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from fixtures.backends import onnxruntime as backend
from fixtures.common.build_options import BuildOptions, BuildRequest
from fixtures.layers.joined import join
from fixtures.layers.measured import called
from fixtures.measure.layers import WARM_UP_CALLS
from fixtures.onnx.node_times import fused, node_profile


class Block(nn.Module):
    """A residual block with a shortcut of its own."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.down, self.relu = nn.Conv2d(8, 8, 1), nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + self.down(x))


class Net(nn.Module):
    """A stem, a block and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6())
        self.block, self.fc = Block(), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.block(self.stem(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net().eval().requires_grad_(False)


@pytest.mark.parametrize("precision, profile", [("fp32", None), ("fp32", (1, 2, 4)), ("int8", None)])
def test_every_module_of_a_model_is_in_its_layers(net, precision, profile, tmp_path):
    example = torch.rand(2, 3, 16, 16)
    calibration = torch.rand(4, 3, 16, 16) if precision == "int8" else None
    options = BuildOptions(batch_profile=profile)
    request = BuildRequest(net, example, precision, tmp_path / "net.onnx", calibration, options)
    backend.build(request).close()
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = backend.layer_times(request, 4)
    layers = join(found.layers, [name for name, _ in net.named_modules()], called(net, example))
    leaves = {name for name, module in net.named_modules() if not list(module.children())}
    assert leaves <= {module for layer in layers for module in layer.modules}
    assert all(layer.p50_s > 0 for layer in layers) and found.call_s > 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files, "the stored graph is only read"
    if precision == "fp32":
        titles = [layer.layer for layer in layers]
        assert "stem.0 + .1 + .2" in titles and "block.conv1 + bn1 + relu" in titles
        assert {layer.precision for layer in layers} == {"fp32"}
    else:
        assert "int8" in {layer.precision for layer in layers}


def graph(*nodes):
    return helper.make_graph(
        [helper.make_node(kind, takes, gives, name=name) for name, kind, takes, gives in nodes], "graph", [], []
    )


EXPORTED = graph(
    ("/a/Conv", "Conv", ["x", "w"], ["/a/Conv_output_0"]),
    ("/a/Relu", "Relu", ["/a/Conv_output_0"], ["/a/Relu_output_0"]),
    ("/b/Conv", "Conv", ["/a/Relu_output_0", "v"], ["/b/Conv_output_0"]),
    ("/Add", "Add", ["/b/Conv_output_0", "/a/Relu_output_0"], ["/Add_output_0"]),
    ("/n/Pow", "Pow", ["/Add_output_0", "two"], ["/n/Pow_output_0"]),
    ("/n/Sqrt", "Sqrt", ["/n/Pow_output_0"], ["/n/Sqrt_output_0"]),
    ("/fc/Gemm", "Gemm", ["/n/Sqrt_output_0", "u"], ["output"]),
)


def test_nodes_keep_their_own_and_get_what_was_fused_into_them():
    optimised = graph(
        ("/a/Relu_output_0_nchwc", "Conv", ["x", "reorder"], ["reorder_token_0"]),
        ("/b/Conv_output_0_nchwc", "Conv", ["reorder_token_0", "reorder_1"], ["reorder_token_2"]),
        ("ReorderOutput", "ReorderOutput", ["reorder_token_2"], ["/Add_output_0"]),
        ("norm", "SimplifiedNorm", ["/Add_output_0", "two"], ["/n/Sqrt_output_0"]),
        ("fused /fc/Gemm", "FusedGemm", ["/n/Sqrt_output_0", "u"], ["output"]),
    )
    assert fused(EXPORTED, optimised) == {
        "/a/Relu_output_0_nchwc": ("/a/Conv", "/a/Relu"),
        "/b/Conv_output_0_nchwc": ("/b/Conv", "/Add"),
        "norm": ("/n/Pow", "/n/Sqrt"),
        "fused /fc/Gemm": ("/fc/Gemm",),
    }


def test_a_graph_that_is_not_optimised_maps_to_itself():
    assert fused(EXPORTED, EXPORTED) == {node.name: (node.name,) for node in EXPORTED.node}


def test_preparing_a_weight_belongs_to_the_node_that_reads_it():
    exported = graph(
        ("w_q", "QuantizeLinear", ["w", "s"], ["wq"]),
        ("w_dq", "DequantizeLinear", ["wq", "s"], ["wd"]),
        ("/a/Conv", "Conv", ["x", "wd"], ["y"]),
    )
    optimised = graph(("w_dq", "DequantizeLinear", ["constant", "s"], ["wd"]), ("/a/Conv", "Conv", ["x", "wd"], ["y"]))
    assert fused(exported, optimised) == {"w_dq": ("/a/Conv",), "/a/Conv": ("/a/Conv",)}


def test_warm_up_calls_do_not_count_and_a_node_that_runs_twice_is_summed():
    def call(us):
        node = {"cat": "Node", "name": "/a/Conv_kernel_time", "args": {"input_type_shape": [{"float16": [1]}]}}
        return [{**node, "dur": us}, {**node, "dur": us}, {"cat": "Session", "name": "model_run", "dur": 3 * us}]

    events = [{"cat": "Session", "name": "model_loading_uri", "dur": 9}]
    events += [event for us in [900.0] * WARM_UP_CALLS + [10.0, 20.0, 30.0] for event in call(us)]
    found = node_profile(events, EXPORTED, onnx.GraphProto.FromString(EXPORTED.SerializeToString()))
    ((layer,),) = [found.layers]
    assert (layer.name, layer.nodes, layer.precision) == ("/a/Conv", ("/a/Conv",), "fp16")
    assert (layer.p50_s, layer.p10_s, layer.fastest_s) == pytest.approx((40e-6, 24e-6, 20e-6))
    assert (found.sum_s, found.call_s) == (pytest.approx(40e-6), pytest.approx(60e-6))
