"""Tests of what is known of an installed TensorRT before it is imported."""

from __future__ import annotations

import pytest

from fixtures.backends import tensorrt
from fixtures.tensorrt import package
from tests.doubles import on_host


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"tensorrt": "10.3.0"}, None),
        ({"tensorrt": ""}, None),
        ({"tensorrt": "8.2.1.8"}, "TensorRT 8.2.1.8 is installed, but the suite needs 8.4 or newer"),
        ({}, "tensorrt is not installed"),
        ({"tensorrt": "10.3.0", "gpu": False}, "no CUDA device here"),
        ({"tensorrt": "10.3.0", "cuda": ""}, "the installed torch is built for the CPU only"),
    ],
)
def test_what_is_missing_is_named_without_importing_anything(given, expected, monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path, **given)
    reason = tensorrt.unavailable("cuda:0")
    assert reason is None if expected is None else reason.startswith(expected) and "\n" not in reason


def test_models_on_the_cpu_need_the_gpu_named(monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path, tensorrt="10.3.0")
    assert "add --run-device cuda:0" in tensorrt.unavailable("cpu")


def test_the_version_is_read_from_the_bindings_where_tensorrt_only_repeats_it(monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path, tensorrt="", tensorrt_bindings="10.13.3.9.post1")
    assert package.version() == "10.13.3.9.post1"
