"""Tests of backend onnxruntime: where it can run, that a GPU session that went to the CPU is refused, and int8.

Every run of the suite tests float32's outputs on the CPU. On a GPU it has to be run there.
"""

from __future__ import annotations

import types
from pathlib import Path

import onnx
import pytest
import torch

from fixtures.backends import TWINS, onnxruntime
from fixtures.common.build_options import DEFAULT
from fixtures.common.errors import UserError
from fixtures.machine import cuda
from tests.doubles import on_host
from tests.doubles.small import image_batch, load, relative_error, small_model


def test_it_runs_on_the_cpu():
    assert onnxruntime.unavailable("cpu") is None


def test_a_cpu_only_build_is_unavailable_for_models_on_a_gpu(monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path)
    assert "replace it with onnxruntime-gpu" in onnxruntime.unavailable("cuda:0")
    monkeypatch.setattr(onnxruntime.cuda, "has_library", lambda package, library: True)
    assert onnxruntime.unavailable("cuda:0") is None


def test_the_cuda_build_needs_a_gpu(monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path, gpu=False)
    monkeypatch.setattr(onnxruntime.cuda, "has_library", lambda package, library: True)
    assert "no CUDA device" in onnxruntime.unavailable("cuda:0")


def test_a_session_that_fell_back_to_the_cpu_is_refused(monkeypatch):
    import onnxruntime as package

    asked = []

    def session(path, providers):
        asked.extend(providers)
        return types.SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    monkeypatch.setattr(package, "InferenceSession", session)
    monkeypatch.setattr(cuda, "use", lambda device: None)
    example = types.SimpleNamespace(device=torch.device("cuda:1"))
    with pytest.raises(
        UserError, match="^ONNX Runtime .* cannot use the GPU: .*; install the onnxruntime-gpu built for"
    ):
        load(onnxruntime, Path("artefact.onnx"), example)
    assert asked[0] == ("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})


def built(folder, precision, count=1):
    """(twin, file) of the small model for batches of this many images."""
    path = folder / "artefact.onnx"
    return TWINS[f"onnxruntime_{precision}"].build(small_model(), image_batch(count), path, image_batch(14)), path


@pytest.mark.parametrize(("precision", "least", "most"), [("fp32", 0, 1e-5), ("int8", 1e-3, 5e-2)])
def test_the_error_is_that_of_the_precision(precision, least, most, tmp_path):
    """An int8 twin with a smaller error than int8 can have is a float32 one under another name."""
    twin, path = built(tmp_path, precision, count=3)
    expected = small_model()(image_batch(3))
    assert least <= relative_error(twin(image_batch(3)), expected) <= most
    loaded = load(onnxruntime, path, image_batch(3), precision)
    assert relative_error(loaded(image_batch(3)), twin(image_batch(3))) == 0


def test_a_twin_is_not_used_for_another_batch_size(tmp_path):
    twin, _ = built(tmp_path, "fp32", count=3)
    with pytest.raises(Exception, match="(?i)got: 1 expected: 3"):
        twin(image_batch(1))


@pytest.mark.parametrize("threads", [1, 2])
def test_it_runs_on_as_many_threads_as_eager(threads, tmp_path):
    _, path = built(tmp_path, "fp32")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        twin = load(onnxruntime, path, image_batch())
    finally:
        torch.set_num_threads(before)
    assert twin._session.get_session_options().intra_op_num_threads == threads


def test_int8_quantises_the_inputs_and_weights_of_convolution_and_matrix(tmp_path):
    _, path = built(tmp_path, "int8")
    graph = onnx.load(str(path)).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    arithmetic = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(arithmetic) == 2
    for node in arithmetic:
        assert [made_by[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "the float32 file is not kept"


def test_int8_needs_calibration_images(tmp_path):
    with pytest.raises(UserError, match="int8 needs calibration images"):
        TWINS["onnxruntime_int8"].build(small_model(), image_batch(), tmp_path / "a.onnx")


def test_what_writes_the_file_is_in_the_key():
    facts = onnxruntime.key_facts("cpu", DEFAULT)
    assert facts.pop("batch_profile") is None
    assert facts.keys() == {"torch", "onnxruntime", "opset"} and all(facts.values())


def test_closing_ends_the_session(tmp_path):
    twin, _ = built(tmp_path, "fp32")
    twin.close()
    assert twin._session is None
