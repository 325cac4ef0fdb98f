"""Tests of what the backend tensorrt refuses: engines that are damaged, of another version, or not to be captured."""

from __future__ import annotations

import gc

import pytest

from fixtures.backends import tensorrt
from fixtures.cache import store
from fixtures.common import replay
from fixtures.common.build_options import DEFAULT, BuildOptions
from fixtures.common.errors import UserError
from fixtures.tensorrt import engine_ports
from tests.doubles import on_host
from tests.doubles.small import DAMAGES, built, image_batch, load


def test_a_type_that_torch_does_not_have_is_refused_in_one_line(trt, tmp_path, monkeypatch):
    _, path = built(tensorrt, tmp_path)
    monkeypatch.delitem(engine_ports.TORCH_TYPES, "FLOAT")
    with pytest.raises(UserError, match="the engine's input has TensorRT's type FLOAT, which torch does not support"):
        load(tensorrt, path, image_batch())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_engine_is_refused_in_one_line(trt, damage, tmp_path):
    _, path = built(tensorrt, tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as error:
        load(tensorrt, path, image_batch())
    assert "rejects the engine" in str(error.value) and "Serialization" in str(error.value)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_an_engine_of_another_version_is_refused(monkeypatch, tmp_path):
    on_host.tensorrt(monkeypatch, "10.3.0")
    _, path = built(tensorrt, tmp_path)
    on_host.tensorrt(monkeypatch, "10.13.3.9")
    with pytest.raises(UserError, match="expecting library version 10.13.3.9 got 10.3.0"):
        load(tensorrt, path, image_batch())


def test_a_damaged_engine_in_the_cache_is_rebuilt(newest, tmp_path):
    builds = []

    def entry():
        return store.get_or_make(
            tmp_path,
            "small-tensorrt_fp32-b1",
            tensorrt.key_facts("cpu", DEFAULT),
            lambda path: builds.append(built(tensorrt, path.parent)),
            ".engine",
        )

    first = entry()
    assert entry() == first and len(builds) == 1
    first.path.write_bytes(first.path.read_bytes()[:-100])
    with pytest.warns(store.EngineWarning, match="rejected and rebuilt"):
        again = entry()
    assert len(builds) == 2
    load(tensorrt, again.path, image_batch())


def test_an_engine_that_cannot_be_captured_is_closed_and_refused_in_one_line(newest, tmp_path, monkeypatch):
    def refuse(twin, example):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCompile with …")

    monkeypatch.setattr(replay, "Replay", refuse)
    built(tensorrt, tmp_path)[0].close()
    replayed = BuildOptions(flags=frozenset([tensorrt.REPLAY]))
    with pytest.raises(UserError) as error:
        load(tensorrt, tmp_path / "artefact.engine", image_batch(), options=replayed)
    assert str(error.value) == (
        "artefact.engine cannot be captured in a CUDA graph: CUDA error: operation not permitted when stream is "
        "capturing; leave out --tensorrt-replay"
    )
    del error
    gc.collect()
    assert not list(newest.double.alive)
