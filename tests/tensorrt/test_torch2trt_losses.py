"""Tests of operators that torch2trt has no converter for and would drop, and of its way through ONNX instead."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fixtures.backends import torch2trt
from fixtures.common.build_options import BuildOptions
from fixtures.common.errors import Unsupported, UserError
from tests.doubles.small import built, image_batch, relative_error


class Harmless(nn.Module):
    """Calls without a converter that lose nothing: a question, the tensor itself, a constant."""

    def forward(self, batch):
        assert batch.is_floating_point()
        return torch.cat([torch.relu_(batch * 2).float(), torch.zeros_like(batch), batch.new_ones(batch.shape)])


class Pasted(nn.Module):
    """Writes what the network gave into a constant, as a detector's transform does."""

    def forward(self, batch):
        pasted = batch.new_zeros(batch.shape)
        pasted[0].copy_(batch[0])
        return torch.relu(pasted)


@pytest.fixture
def onnx_packages(monkeypatch):
    """What torch2trt's way through ONNX imports is installed; those that are taken out of the set are not."""
    there, find = {"onnx", "onnx_graphsurgeon", "onnxscript"}, torch2trt.find_spec
    known = frozenset(there)
    monkeypatch.setattr(torch2trt, "find_spec", lambda name: name in there or None if name in known else find(name))
    return there


@pytest.mark.parametrize(
    "version, absent, expected",
    [
        ("2.15.0+cu132", set(), None),
        ("2.9.0", {"onnxscript"}, "needs onnxscript; pip install onnxscript"),
        ("2.8.0", {"onnxscript"}, None),
        ("2.1.2", {"onnx_graphsurgeon"}, "needs onnx-graphsurgeon; pip install onnx-graphsurgeon"),
        ("2.15.0", {"onnx_graphsurgeon", "onnxscript"}, "needs onnx-graphsurgeon and onnxscript; pip install onnx-"),
    ],
)
def test_what_its_way_through_onnx_lacks_is_named(
    version, absent, expected, onnx_packages, newest_torch2trt, tmp_path, monkeypatch
):
    onnx_packages -= absent
    monkeypatch.setattr(torch, "__version__", version)
    if expected is None:
        torch2trt._check_onnx_packages(version)
        return
    built(torch2trt, tmp_path)
    with pytest.raises(UserError, match=f"^--torch2trt-onnx {expected}"):
        built(torch2trt, tmp_path, options=BuildOptions(flags=frozenset([torch2trt.THROUGH_ONNX])))


def test_its_way_through_onnx_is_an_option(newest_torch2trt, onnx_packages, tmp_path):
    built(torch2trt, tmp_path)
    built(torch2trt, tmp_path, options=BuildOptions(flags=frozenset([torch2trt.THROUGH_ONNX])))
    assert [call["use_onnx"] for call in newest_torch2trt.double.calls] == [False, True]


@pytest.mark.parametrize(
    "layer, lost",
    [
        (nn.ReLU6(), "torch.nn.functional.hardtanh"),
        (nn.ReLU6(inplace=True), "torch.nn.functional.hardtanh"),
        (nn.Hardswish(inplace=True), "torch.nn.functional.hardswish"),
        (nn.Sequential(nn.Hardsigmoid(), nn.Mish()), "torch.nn.functional.hardsigmoid, torch.nn.functional.mish"),
        (Pasted(), "torch.Tensor.copy_"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_operator_that_would_be_dropped_is_refused_before_the_build(newest_torch2trt, layer, lost, tmp_path, capsys):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), layer, nn.ReLU())
    before = dict(newest_torch2trt.CONVERTERS)
    with pytest.raises(Unsupported) as error:
        built(torch2trt, tmp_path, model)
    assert str(error.value).startswith(f"torch2trt has no converter for {lost} of Sequential and would drop it")
    assert "use the tensorrt twins or --torch2trt-onnx, or" in str(error.value) and "\n" not in str(error.value)
    assert newest_torch2trt.trt.double.built is None and before == newest_torch2trt.CONVERTERS
    assert capsys.readouterr().out == "", "its own warnings name harmless operators too"


def test_calls_without_a_converter_that_lose_nothing_pass(newest_torch2trt, tmp_path, capsys):
    twin, _ = built(torch2trt, tmp_path, Harmless())
    assert relative_error(twin(image_batch()), Harmless()(image_batch())) < 1e-5
    assert capsys.readouterr().out == ""


def test_a_dropped_operator_passes_with_a_converter_of_the_user_s_or_through_onnx(
    newest_torch2trt, onnx_packages, tmp_path
):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU6())
    built(torch2trt, tmp_path, model, options=BuildOptions(flags=frozenset([torch2trt.THROUGH_ONNX])))
    relu6 = newest_torch2trt.CONVERTERS["torch.nn.functional.relu6"]
    newest_torch2trt.CONVERTERS["torch.nn.functional.hardtanh"].update(converter=relu6["converter"], is_real=True)
    built(torch2trt, tmp_path, model)
