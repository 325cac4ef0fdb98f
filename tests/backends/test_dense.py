"""Detectors' cores and segmenters, which return dicts, through the TensorRT backends on the doubles."""

from __future__ import annotations

import pytest
import torch

from fixtures.backends import tensorrt, torch2trt
from fixtures.models.cores import core
from tests.doubles import on_host
from tests.doubles.small import built, image_batch, relative_error
from tests.doubles.tensorrt_double import VERSIONS
from tests.model_files import tiny_dense

# On weights that nobody trained; int8 as its row for calibrated weights has it.
TOLERANCE = {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.5}


def detector():
    torch.manual_seed(0)
    return core(tiny_dense.MODELS[0], tiny_dense.untrained_detector()).requires_grad_(False)


def segmenter():
    torch.manual_seed(0)
    return tiny_dense.untrained_segmenter().requires_grad_(False)


def check(twin, model, precision):
    for batch in (image_batch(1, 64), -image_batch(1, 64)):
        got, expected = twin(batch), model(batch)
        assert set(got) == set(expected)
        for name, wanted in expected.items():
            assert got[name].shape == wanted.shape and got[name].dtype == torch.float32
            assert relative_error(got[name], wanted) < TOLERANCE[precision], name


@pytest.mark.parametrize("make", [detector, segmenter])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_tensorrt_builds_dense_models_in_every_precision(version, precision, make, monkeypatch, tmp_path):
    on_host.tensorrt(monkeypatch, version)
    monkeypatch.setattr("tests.doubles.small.image_batch", lambda count=1, size=64: image_batch(count, size))
    model = make()
    twin, _ = built(tensorrt, tmp_path, model, precision, image_batch(1, 64))
    check(twin, model, precision)


@pytest.mark.parametrize("make", [detector, segmenter])
def test_torch2trt_converts_those_that_it_has_converters_for(make, monkeypatch, tmp_path):
    on_host.torch2trt(monkeypatch, VERSIONS[2])
    model = make()
    check(built(torch2trt, tmp_path, model, "fp16", image_batch(1, 64))[0], model, "fp32")
