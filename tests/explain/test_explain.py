"""Explanations of twins with one fault at a known module: through graphs, through modules, and by bisection."""

from __future__ import annotations

import copy
import types

import numpy
import onnx
import pytest
import torch
from torch import nn

from twins.backends import TWINS
from twins.common.build_options import BuildRequest
from twins.common.outputs import to_numpy
from twins.explain.bisect import reproduced
from twins.explain.explain import explain
from twins.onnx.modules import module_of

IMAGE = "cat.jpg"


class Block(nn.Module):
    """Residual, with a normalisation that the exporter folds, an activation called twice in place, and own code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.side = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Hardswish())

    def forward(self, x):
        out = self.act(self.bn(self.conv(x)))
        out += self.side(x)
        return self.act(out)


class Net(nn.Module):
    """Branches joined in its own code, a block that is called twice, and outputs as a tensor, a tuple or a dict."""

    def __init__(self, outputs: str = "tensor") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.shared = Block()
        self.head = nn.Linear(16, 5)
        self.outputs = outputs

    def forward(self, x):
        x = torch.nn.functional.relu(self.stem(x))
        first, second = self.blocks[0](x), self.blocks[1](x)
        x = self.shared(self.shared(first + second))
        logits = self.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))
        return {"tensor": logits, "tuple": (logits, x), "dict": {"logits": logits, "map": x}}[self.outputs]


@pytest.fixture
def net():
    def made(outputs="tensor"):
        torch.manual_seed(0)
        found = Net(outputs).eval().requires_grad_(False)
        for part in found.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
        return found

    return made


@pytest.fixture
def image():
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def scaled(path, node_ends_with):
    """Scales a weight in the graph by 5 %."""
    graph = onnx.load(str(path))
    node = next(node for node in graph.graph.node if node.name.endswith(node_ends_with))
    weight = next(tensor for tensor in graph.graph.initializer if tensor.name == node.input[1])
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * numpy.float32(1.05), weight.name))
    onnx.save(graph, str(path))
    return node.name


@pytest.mark.parametrize("outputs", ["tensor", "tuple", "dict"])
@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("stem/Conv", "stem"),
        ("blocks.1/conv/Conv", "blocks.1.conv"),
        ("side.0/Conv", "blocks.0.side.0"),
        ("shared/conv/Conv", "shared.conv"),
        ("head/Gemm", "head"),
    ],
)
def test_the_faulty_module_of_a_graph_is_named(net, image, tmp_path, outputs, node, expected):
    model, spec, path = net(outputs), TWINS["onnxruntime_fp32"], tmp_path / "artefact.onnx"
    spec.build(model, image, path).close()
    name = scaled(path, node)
    assert module_of(name, [name for name, _ in model.named_modules()]) == expected
    product = to_numpy(spec.load(path, image)(image))
    found = explain(spec, BuildRequest(model, image, "fp32", path), product, IMAGE, 1e-5, tmp_path)
    assert found.method == "graph outputs" and not found
    assert found.first is not None and found.first.name == expected, found.report("net")
    assert 5e-3 < found.first.own_error < 6e-2  # The bias keeps its size.
    assert found.as_dict()["first"] == expected
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["artefact.onnx", "artefact.onnx.data"]


def test_a_right_twin_is_explained_and_no_module_stands_out(net, image, tmp_path):
    model, spec, path = net(), TWINS["onnxruntime_fp32"], tmp_path / "artefact.onnx"
    product = to_numpy(spec.build(model, image, path)(image))
    found = explain(spec, BuildRequest(model, image, "fp32", path), product, IMAGE, 1e-5, tmp_path)
    assert found and found.first is None and not found.reason
    named = [str(row) for row in found.rows]
    assert {"stem", "blocks.0.conv", "shared.act", "shared.act, call 2", "shared.act, call 4", "(the model)"} <= {
        *named
    }
    assert next(row for row in found.rows if row.name == "blocks.0.conv").covers == ("blocks.0.bn",)


def test_every_inner_tensor_of_int8_is_one_after_dequantisation(net, image, tmp_path):
    model, spec, path = net(), TWINS["onnxruntime_int8"], tmp_path / "artefact.onnx"
    product = to_numpy(spec.build(model, image, path, image)(image))
    found = explain(spec, BuildRequest(model, image, "int8", path, image), product, IMAGE, 0.5, tmp_path)
    assert found and not found.reason
    assert 1e-4 < found.worst[0].own_error < 0.2


class FakeTwin:
    """A backend without graphs: the module itself, with a fault, if `faulty(further outputs)` says so."""

    def __init__(self, faulty):
        self.module = types.SimpleNamespace(graph=None, ENGINE_SUFFIX=None)
        self.precision, self.faulty = "fp32", faulty

    def build(self, module, example, path, calibration, options):
        built = copy.deepcopy(module)
        model = getattr(built, "model", built)
        if self.faulty(len(getattr(built, "sites", ()))):
            model.shared.conv.weight *= 1.05

        class Twin:
            def __call__(self, batch):
                return built(batch)

            def close(self):
                pass

        return Twin()


def explained(twin, model, image, folder):
    product = to_numpy(FakeTwin(lambda _: True).build(model, image, None, None, None)(image))
    return explain(twin, BuildRequest(model, image, "fp32"), product, IMAGE, 1e-5, folder)


def test_a_backend_without_graphs_builds_the_module_with_its_inner_tensors(net, image, tmp_path):
    found = explained(FakeTwin(lambda further: True), net(), image, tmp_path)
    assert found.method == "module outputs"
    assert found.first is not None and found.first.name == "shared.conv", found.report("net")


def test_a_fault_that_many_outputs_hide_is_found_by_bisection(net, image, tmp_path):
    found = explained(FakeTwin(lambda further: further <= 1), net(), image, tmp_path)
    assert found.method == "bisection"
    assert found.first is not None and found.first.name.startswith("shared"), found.report("net")


def test_a_fault_that_any_output_hides_cannot_be_attributed(net, image, tmp_path):
    found = explained(FakeTwin(lambda further: further == 0), net(), image, tmp_path)
    assert found.first is None
    assert found.finding.startswith("cannot attribute: the twin's error is")


def test_a_backend_that_refuses_further_outputs_and_a_model_without_modules_are_reported(net, image, tmp_path):
    def refusing(further):
        if further:
            raise RuntimeError("no hooks here")
        return True

    found = explained(FakeTwin(refusing), net(), image, tmp_path)
    assert "no hooks here" in found.finding and found.first is None
    flat = nn.Flatten()
    product = to_numpy(flat(image) * 2)
    found = explain(FakeTwin(lambda _: True), BuildRequest(flat, image, "fp32"), product, IMAGE, 1e-5, tmp_path)
    assert not found and found.finding == "cannot attribute: the model has no modules inside"
    assert "cannot attribute" in found.report("flat")


@pytest.mark.parametrize(
    ("product", "diagnostic", "expected"),
    [(1e-2, 1.4e-2, True), (1e-2, 1.6e-2, False), (1e-2, 1e-6, False), (1e-7, 9e-6, True), (1e-7, 1e-3, False)],
)
def test_a_diagnostic_twin_must_err_as_the_product_does(product, diagnostic, expected):
    assert reproduced(product, diagnostic, floor=1e-5) is expected


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_tensorrt_rtx_builds_the_engine_that_gives_inner_tensors(net, image, tmp_path, precision):
    trt = pytest.importorskip("tensorrt_rtx")
    from twins.backends import tensorrt_rtx
    from twins.explain import graphs
    from twins.tensorrt.build import write_engine_of

    model = net()
    modules = [name for name, _ in model.named_modules()]
    request = BuildRequest(model, image, precision, tmp_path / "diagnostic.engine")
    graph = tensorrt_rtx.graph(request)
    inner = graphs.values(graph, modules)
    assert {"stem", "blocks.0.conv", "shared.act", "head", ""} <= {value.module for value in inner}
    graphs.with_outputs(graph, {value.name: (value.element, None) for value in inner}, tmp_path / "diagnostic.onnx")
    assert write_engine_of(trt, request, tmp_path / "diagnostic.onnx") > 0
    assert request.engine_path.stat().st_size > 0
