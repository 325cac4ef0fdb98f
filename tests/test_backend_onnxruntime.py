"""Tests of backend onnxruntime: where it can run, and that a GPU session that went to the CPU is refused.

What it answers on the CPU is tested by every run of the suite; on a GPU it has to be run there.
"""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch

from fixtures import cuda_device
from fixtures.backends import onnxruntime
from fixtures.errors import UserError
from tests.doubles import on_host


def test_it_runs_on_the_cpu():
    assert onnxruntime.unavailable("cpu") is None


def test_a_build_for_the_cpu_is_no_twin_for_models_on_a_gpu(monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path)
    assert "install onnxruntime-gpu in its place" in onnxruntime.unavailable("cuda:0")
    monkeypatch.setattr(onnxruntime, "_has_cuda_library", lambda: True)
    assert onnxruntime.unavailable("cuda:0") is None


def test_the_cuda_build_needs_a_gpu(monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path, gpu=False)
    monkeypatch.setattr(onnxruntime, "_has_cuda_library", lambda: True)
    assert "no CUDA device" in onnxruntime.unavailable("cuda:0")


def test_a_session_that_fell_back_to_the_cpu_is_refused(monkeypatch):
    import onnxruntime as package

    asked = []

    def session(path, providers):
        asked.extend(providers)
        return types.SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    monkeypatch.setattr(package, "InferenceSession", session)
    monkeypatch.setattr(cuda_device, "use", lambda device: None)
    example = types.SimpleNamespace(device=torch.device("cuda:1"))
    with pytest.raises(UserError, match="^ONNX Runtime .* cannot use the GPU: .*; install onnxruntime-gpu made for"):
        onnxruntime.load(Path("artefact.onnx"), example, "fp32")
    assert asked[0] == ("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})
