"""A complete engine that TensorRT rejects: reported in one line and rebuilt once, never a crash."""

from __future__ import annotations

import types
import warnings
from pathlib import Path

import pytest

from fixtures.backends import tensorrt
from fixtures.cache import store
from fixtures.common.build_options import DEFAULT
from fixtures.common.errors import UserError
from fixtures.run import worker
from fixtures.run.twin import RunningTwin
from tests.doubles import on_host
from tests.doubles.small import built, image_batch
from tests.helpers import pretended

REASON = "TensorRT 10.3.0 rejects the engine: it was made for another GPU"


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A running model whose workers only pretend: `built` counts builds, `refusals` is how many starts are refused."""
    state = types.SimpleNamespace(built=0, refusals=0)

    def work(title, task, job, path):
        if task is worker.build:
            state.built += 1
            path.write_bytes(b"engine %d" % state.built)
            return {"build_s": 1.0}
        state.refusals -= 1
        return {"engine_refused": REASON} if state.refusals >= 0 else {"load_s": 0.1, "engine": path.read_bytes()}

    twin = types.SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(tensorrt, "load", lambda *arguments, **options: twin)
    monkeypatch.setattr(store, "_used", set())
    model = pretended.model(work, engine_folder=tmp_path)
    model.state = state
    return model


def test_one_from_the_cache_is_rebuilt_once_with_a_warning(model):
    RunningTwin("tensorrt_fp32", model).close()
    model.state.refusals = 1
    with pytest.warns(store.EngineWarning, match=f"an engine is rejected and rebuilt: {REASON}"):
        twin = RunningTwin("tensorrt_fp32", model)
    assert model.state.built == 2 and twin.figures["engine"] == b"engine 2"
    assert twin.figures["build_s"] == 1.0, "it was built in this run"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RunningTwin("tensorrt_fp32", model).figures["engine"] == b"engine 2"


def test_one_that_is_refused_again_ends_in_one_line(model):
    RunningTwin("tensorrt_fp32", model).close()
    model.state.refusals = 2
    with pytest.warns(store.EngineWarning), pytest.raises(UserError, match=REASON):
        RunningTwin("tensorrt_fp32", model)
    assert model.state.built == 2


def test_an_engine_that_was_just_built_is_not_rebuilt(model):
    model.state.refusals = 1
    with pytest.raises(UserError, match=REASON):
        RunningTwin("tensorrt_fp32", model)
    assert model.state.built == 1


def test_one_from_outside_is_never_replaced(model, tmp_path):
    model.session.settings.trusted_engine = tmp_path / "mine.engine"
    model.session.settings.trusted_engine.write_bytes(b"mine")
    model.state.refusals = 1
    with pytest.warns(store.EngineWarning, match="used unverified"), pytest.raises(UserError, match=REASON):
        RunningTwin("tensorrt_fp32", model)
    assert model.state.built == 0 and model.session.settings.trusted_engine.read_bytes() == b"mine"


def test_a_worker_tells_a_refusal_from_a_failure(monkeypatch, tmp_path):
    on_host.tensorrt(monkeypatch, "10.3.0")
    _, path = built(tensorrt, tmp_path)
    on_host.tensorrt(monkeypatch, "10.13.3.9")
    job = worker.Job("small", "tensorrt_fp32", Path("w.pth"), image_batch().numpy(), "cpu", DEFAULT)
    output = worker.start(job, path)
    assert list(output) == ["engine_refused"] and "expecting library version 10.13.3.9" in output["engine_refused"]
