"""A worker closes its twin whatever happens. Otherwise its files or device memory would be left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fixtures.backends import TWINS
from fixtures.common.build_options import DEFAULT
from fixtures.common.errors import EngineRefused
from fixtures.run import worker

EAGER = TWINS["eager_fp32"].module
STORED = TWINS["onnxruntime_fp32"].module


class Failing:
    """A twin whose calls fail from the given one on. closed: counts how often it was closed."""

    def __init__(self, from_call):
        self.calls, self.closed, self.from_call = 0, 0, from_call

    def __call__(self, batch):
        self.calls += 1
        if self.calls >= self.from_call:
            raise RuntimeError("the call fails")
        return batch

    def close(self):
        self.closed += 1


def job(twin):
    return worker.Job("resnet18", twin, Path("w"), torch.zeros(1, 3, 4, 4).numpy(), "cpu", DEFAULT)


@pytest.fixture(autouse=True)
def without_weights(monkeypatch):
    monkeypatch.setattr(worker, "loaded_model", lambda job: (nn.Identity(), 0.1))


@pytest.mark.parametrize("from_call", [1, 2, 4, 100])
def test_a_start_closes_its_twin_once_whether_or_not_a_call_fails(from_call, monkeypatch):
    for twin, module, function, path in (
        ("eager_fp32", EAGER, "build", None),
        ("onnxruntime_fp32", STORED, "load", "x"),
    ):
        failing = Failing(from_call)
        monkeypatch.setattr(module, function, lambda request, failing=failing: failing)
        if from_call == 100:
            assert worker.start(job(twin), path)["first_call_s"] > 0
        else:
            with pytest.raises(RuntimeError, match="the call fails"):
                worker.start(job(twin), path)
        assert failing.closed == 1


@pytest.mark.parametrize("from_call", [1, 2, 100])
def test_timed_starts_close_theirs_too(from_call, monkeypatch):
    failing = Failing(from_call)
    monkeypatch.setattr(EAGER, "build", lambda request: failing)
    if from_call == 100:
        worker.start_times(job("eager_fp32"))
    else:
        with pytest.raises(RuntimeError, match="the call fails"):
            worker.start_times(job("eager_fp32"))
    assert failing.closed == 1


def test_a_refused_engine_leaves_nothing_to_close(monkeypatch):
    def refuse(request):
        raise EngineRefused("another GPU's")

    monkeypatch.setattr(STORED, "load", refuse)
    assert worker.start(job("onnxruntime_fp32"), "x") == {"engine_refused": "another GPU's"}
