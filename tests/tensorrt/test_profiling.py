"""Layers of TensorRT engines on the double: times of the product, details of a second engine, names in other forms."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fixtures.backends import tensorrt, tensorrt_rtx
from fixtures.common.build_options import BuildOptions, BuildRequest
from fixtures.layers.joined import join
from fixtures.onnx import ports
from fixtures.tensorrt import profiling
from tests.doubles import on_host
from tests.doubles.small import built, image_batch, small_model

CONVOLUTION = "/0/Conv + /2/Relu"


def request_of(path, precision="fp32", options=None):
    calibration = image_batch(14) if precision == "int8" else None
    return BuildRequest(small_model(), image_batch(), precision, path, calibration, options or BuildOptions())


def test_every_layer_has_its_time_its_nodes_and_its_precision(trt, tmp_path):
    trt.double.layer_ms[CONVOLUTION] = 0.7
    _, path = built(tensorrt, tmp_path)
    content = path.read_bytes()
    found = tensorrt.layer_times(request_of(path), 4)
    by_name = {layer.name: layer for layer in found.layers}
    fused = by_name[CONVOLUTION]
    assert (fused.p50_s, fused.p10_s, fused.nodes) == (pytest.approx(7e-4), pytest.approx(7e-4), ("/0/Conv", "/2/Relu"))
    assert fused.precision == "tf32", "by its tactic: float32 tensors alone do not say it"
    assert by_name["/3/MaxPool"].precision == "fp32"
    assert by_name[f"Reformatting CopyNode for Input Tensor 0 to {CONVOLUTION}"].nodes == ()
    assert found.sum_s == pytest.approx(sum(layer.p50_s for layer in found.layers))
    names = [name for name, _ in small_model().named_modules()]
    called = [("0", "Conv2d"), ("1", "BatchNorm2d"), ("2", "ReLU")]
    assert [layer.modules for layer in join(found.layers, names, called)] == [
        (), ("0", "1", "2"), ("3",), ("4",), ("5",),
    ]  # fmt: skip
    assert path.read_bytes() == content and [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert trt.double.verbosities == ["LAYER_NAMES_ONLY", "DETAILED"], "details come from a second engine alone"


@pytest.mark.parametrize("precision, expected", [("fp16", "fp16"), ("int8", "tf32")])
def test_the_precision_is_what_the_engine_has_and_not_what_was_asked_for(newest, precision, expected, tmp_path):
    """The double quantises nothing by itself: its convolution of an int8 graph takes float32."""
    _, path = built(tensorrt, tmp_path, precision=precision)
    layers = tensorrt.layer_times(request_of(path, precision), 1).layers
    assert next(layer.precision for layer in layers if layer.name == CONVOLUTION) == expected


def test_a_replayed_twin_is_timed_without_its_graph(monkeypatch, tmp_path):
    trt = on_host.tensorrt(monkeypatch, "1.6.1.120")
    _, path = built(tensorrt_rtx, tmp_path, precision="tf32")
    kernels = path.with_suffix(".kernels").read_bytes()
    trt.double.strategies.clear()
    options = BuildOptions(flags=frozenset([tensorrt_rtx.REPLAY]))
    assert tensorrt_rtx.layer_times(request_of(path, "tf32", options), 1).layers
    assert {graphs for _, graphs in trt.double.strategies} == {"DISABLED"}
    assert path.with_suffix(".kernels").read_bytes() == kernels


def test_an_engine_made_elsewhere_has_times_and_names_alone(newest, tmp_path):
    _, path = built(tensorrt, tmp_path)
    model = small_model()
    form = ports.form(image_batch(), model(image_batch()))
    built_before = len(newest.double.verbosities)
    found = tensorrt.layer_times(request_of(path, options=BuildOptions(engine_form=form)), 1)
    assert {layer.precision for layer in found.layers} == {None}
    assert next(layer.nodes for layer in found.layers if layer.name == CONVOLUTION) == ("/0/Conv", "/2/Relu")
    assert len(newest.double.verbosities) == built_before, "nothing is built for an engine that is not the suite's"


def test_products_are_never_built_with_details(newest, tmp_path):
    for precision in tensorrt.PRECISIONS:
        built(tensorrt, tmp_path, precision=precision)
    assert set(newest.double.verbosities) == {"LAYER_NAMES_ONLY"}
    assert replace(BuildOptions()).detailed_profiling is False


@pytest.mark.parametrize(
    "name, nodes",
    [
        ("/conv1/Conv + /relu/Relu", ("/conv1/Conv", "/relu/Relu")),
        ("/a/Conv || /b/Conv", ("/a/Conv", "/b/Conv")),
        ("PWN(/features/features.0/features.0.2/Clip)", ("/features/features.0/features.0.2/Clip",)),
        ("{ForeignNode[/layer1/Conv.../fc/Gemm]}", ("/layer1/Conv", "/fc/Gemm")),
        ("Reformatting CopyNode for Output Tensor 0 to /conv1/Conv", ()),
        ("__myl_MoveConvReluMove_myl0_3", ()),
    ],
)
def test_nodes_in_names_of_layers(name, nodes):
    assert profiling.nodes_in(name) == nodes


@pytest.mark.parametrize(
    "tensors, kernel, expected",
    [
        ({"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}, "", "int8"),
        ({"Format/Datatype": "Half"}, "", "fp16"),
        ({"Format": "kLINEAR", "Datatype": "BF16"}, "", "bf16"),
        ({"Format/Datatype": "Row major linear FP32"}, "sm80_xmma_fprop_tf32f32", "tf32"),
        ({"Format/Datatype": "Float"}, "sm80_sgemm_f32f32", "fp32"),
        ({"Format/Datatype": "N/A due to dynamic shapes"}, "", None),
        ({}, "", None),
    ],
)
def test_the_inspectors_words_for_types(tensors, kernel, expected):
    layer = {"Name": "a", "Inputs": [{"Name": "x", **tensors}], "Outputs": [], "TacticName": kernel,
             "Metadata": "[ONNX Layer: /a/Conv]\x1e[ONNX Layer: /b/Relu]\x1e[ONNX Layer: /a/Conv]"}  # fmt: skip
    (detail,) = profiling.details_in(json.dumps({"Layers": [layer]})).values()
    assert detail == profiling.Detail(("/a/Conv", "/b/Relu"), expected)


def test_an_inspector_that_knows_names_alone_has_no_details():
    assert profiling.details_in(json.dumps({"Layers": ["/a/Conv", "/b/Relu"], "Bindings": []})) == {}


@pytest.mark.parametrize(("datatype", "precision"), [("Float", None), ("Half", "fp16")])
def test_a_float32_layer_whose_kernel_has_no_name_may_compute_in_tf32(datatype, precision):
    """As the inspector of TensorRT for RTX 1.6.1.120 says it, on an H200."""
    layer = {
        "Name": "/conv1/Conv_myl0_1",
        "LayerType": "correlation",
        "Inputs": [{"Name": "input", "Datatype": datatype, "Format": "(NHWC) Channel major format"}],
        "TacticName": "__myelin_CASK_STUB",
        "Metadata": "[ONNX Layer: /conv1/Conv][ONNX Layer: /relu/Relu]",
    }
    (found,) = profiling.details_in(json.dumps({"Layers": [layer]})).values()
    assert (found.nodes, found.precision) == (("/conv1/Conv", "/relu/Relu"), precision)
