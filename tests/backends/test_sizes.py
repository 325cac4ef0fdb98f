"""Tests of engines of open height and width: one engine, any size within it, in any order."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn

from fixtures.backends import onnxruntime, tensorrt, tensorrt_rtx
from fixtures.common.build_options import BuildOptions
from fixtures.common.errors import Unsupported, UserError
from fixtures.onnx.export import export
from tests.doubles import on_host
from tests.doubles.small import built, image_batch, load, relative_error
from tests.doubles.tensorrt_double import RTX_VERSIONS

SIZES = ((16, 16), (24, 32), (40, 48))
OPTIONS = BuildOptions(sizes=SIZES)
ORDER = [SIZES[1], SIZES[0], SIZES[2], SIZES[0], (20, 44), SIZES[2], SIZES[1]]


class Segmenter(nn.Module):
    """As torchvision's: a global branch, a coarse one, a map in the size of the input; and a classifier's logits."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.coarse, self.scale = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Conv2d(6, 6, 1)
        self.classes = nn.Linear(6, 5)

    def forward(self, batch):
        features = self.coarse(batch).relu()
        features = features * self.scale(nn.functional.adaptive_avg_pool2d(features, 1)).sigmoid()
        whole = nn.functional.interpolate(features, size=batch.shape[-2:], mode="bilinear", align_corners=False)
        anchors = features.permute(0, 2, 3, 1).reshape(batch.shape[0], -1, 3)
        return {"out": whole, "boxes": anchors, "logits": self.classes(features.mean((2, 3)))}


def model():
    return Segmenter().eval().requires_grad_(False)


def image(size):
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(size[0] * size[1]))


def check(twin, limit=1e-5):
    expected = model()
    for size in ORDER:
        got, wanted = twin(image(size)), expected(image(size))
        assert set(got) == set(wanted)
        for name, tensor in wanted.items():
            assert got[name].shape == tensor.shape and relative_error(got[name], tensor) < limit, (size, name)


def test_a_graph_has_open_axes_where_the_size_shows(tmp_path):
    export(model(), image(SIZES[1]), tmp_path / "a.onnx", sizes=SIZES)
    graph = onnx.load(str(tmp_path / "a.onnx")).graph
    axes = {
        value.name: [bool(axis.dim_param) for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert axes["input"] == [False, False, True, True] and axes["output.logits"] == [False, False]
    assert axes["output.out"][2:] == [True, True] and axes["output.boxes"][1]


def test_a_layer_that_must_know_its_input_size_is_refused_in_one_line(tmp_path):
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2)).eval()
    with pytest.raises(
        Unsupported, match="adaptive_avg_pool2d, input size not accessible.*leave out its sizes"
    ) as error:
        export(pooled, image(SIZES[1]), tmp_path / "a.onnx", sizes=SIZES)
    assert "\n" not in str(error.value)
    export(pooled, image(SIZES[1]), tmp_path / "a.onnx")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_follows_every_change_of_size(trt, precision, tmp_path):
    twin, path = built(tensorrt, tmp_path, model(), precision, image(SIZES[1]), OPTIONS)
    check(twin, 1e-5 if precision == "fp32" else 1e-2)
    check(load(tensorrt, path, image(SIZES[1]), precision, OPTIONS), 1e-5 if precision == "fp32" else 1e-2)
    assert trt.double.calls.count("deserialise") == 2


@pytest.mark.parametrize("version", RTX_VERSIONS)
def test_rtx_follows_every_change_of_size_in_each_context(version, monkeypatch, tmp_path):
    on_host.tensorrt(monkeypatch, version)
    twin, _ = built(tensorrt_rtx, tmp_path, model(), "tf32", image(SIZES[1]), OPTIONS)
    further = tensorrt_rtx.another_context(twin, image(SIZES[1]))
    check(twin)
    check(further)


@pytest.mark.parametrize("precision, limit", [("fp32", 1e-5), ("int8", 0.1)])
def test_onnx_runtime_follows_every_change_of_size(precision, limit, tmp_path):
    twin, _ = built(onnxruntime, tmp_path, model(), precision, image(SIZES[1]), OPTIONS)
    check(twin, limit)


def test_sizes_and_batches_may_both_be_open(newest, tmp_path):
    options = BuildOptions(sizes=SIZES, batch_profile=(1, 2, 4))
    example = image(SIZES[1]).repeat(2, 1, 1, 1)
    _, path = built(tensorrt, tmp_path, model(), "fp32", example, options)
    batch = torch.rand(4, 3, *SIZES[1])
    twin = load(tensorrt, path, batch, "fp32", options)
    for size in (SIZES[2], SIZES[0]):
        batch = torch.rand(4, 3, *size)
        assert relative_error(twin(batch)["out"], model()(batch)["out"]) < 1e-5


def test_a_size_outside_is_refused_and_the_next_call_is_right_again(trt, tmp_path):
    twin, _ = built(tensorrt, tmp_path, model(), "fp32", image(SIZES[1]), OPTIONS)
    with pytest.raises(UserError, match=r"asked for 1×3×56×56, .*out of the profile; .* or sizes with room"):
        twin(image((56, 56)))
    check(twin)


def test_a_capture_of_one_size_is_refused(newest, tmp_path):
    options = BuildOptions(sizes=SIZES, flags=frozenset([tensorrt.REPLAY]))
    with pytest.raises(UserError, match="--tensorrt-replay captures calls of one size"):
        built(tensorrt, tmp_path, model(), "fp32", image(SIZES[1]), options)


def test_an_engine_of_one_size_still_refuses_another(newest, tmp_path):
    twin, _ = built(tensorrt, tmp_path)
    with pytest.raises(ValueError, match="the engine was built for"):
        twin(image_batch(size=20))


def test_sizes_are_part_of_an_engines_key():
    assert onnxruntime.key_facts("cpu", OPTIONS) != onnxruntime.key_facts("cpu", BuildOptions())
    assert "sizes" not in onnxruntime.key_facts("cpu", BuildOptions())
