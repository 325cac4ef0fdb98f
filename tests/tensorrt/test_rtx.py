"""Tests of TensorRT for RTX on an executing double: compiled kernels, run-time options, targets, refusals."""

from __future__ import annotations

import gc
import json
import weakref

import pytest

from fixtures.backends import tensorrt_rtx
from fixtures.common import phases
from fixtures.common.build_options import BuildOptions, BuildRequest
from fixtures.common.errors import EngineRefused, UserError
from fixtures.machine import facts as machine_facts
from fixtures.tensorrt import package, rtx
from tests.doubles import on_host
from tests.doubles.small import DAMAGES, built, image_batch, load, relative_error, small_model
from tests.doubles.tensorrt_double import RTX_VERSIONS

TOLERANCE = {"tf32": 1e-5, "fp16": 1e-2}


@pytest.fixture(params=RTX_VERSIONS)
def trt(request, monkeypatch):
    phases.seconds.clear()
    return on_host.tensorrt(monkeypatch, request.param)


@pytest.mark.parametrize("precision", tensorrt_rtx.PRECISIONS)
def test_an_engine_is_built_stored_loaded_and_agrees(trt, precision, tmp_path):
    model, example = small_model(), image_batch()
    twin, path = built(tensorrt_rtx, tmp_path, model, precision)
    loaded = load(tensorrt_rtx, path, example, precision)
    for batch in (example, image_batch(2)[1:], example):
        for running in (twin, loaded):
            assert relative_error(running(batch), model(batch).detach()) < TOLERANCE[precision]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["artefact.engine", "artefact.kernels"]
    flags = {flag.name for flag in trt.double.built._flags}
    assert flags == ({"TF32"} if precision == "tf32" else set())


def test_kernels_are_compiled_once_and_then_come_from_the_file_beside_the_engine(trt, tmp_path):
    _, path = built(tensorrt_rtx, tmp_path, precision="tf32")
    assert phases.seconds["compile_s"] <= phases.seconds["context_s"] and "engine_build_s" in phases.seconds
    phases.seconds.clear()
    load(tensorrt_rtx, path, image_batch(), "tf32")
    assert trt.double.compiled[0] > 0 and trt.double.compiled[1:] == [0]
    assert "compile_s" not in phases.seconds and "context_s" in phases.seconds


def test_an_engine_without_kernels_compiles_them(trt, tmp_path):
    _, path = built(tensorrt_rtx, tmp_path, precision="tf32")
    rtx.kernels_path(path).unlink()
    load(tensorrt_rtx, path, image_batch(), "tf32")
    assert trt.double.compiled[1] == trt.double.compiled[0] > 0


def test_kernels_of_another_driver_are_refused(trt, tmp_path):
    _, path = built(tensorrt_rtx, tmp_path, precision="tf32")
    trt.double.driver = "590.10"
    with pytest.raises(
        EngineRefused, match=r"rejects the compiled kernels .*\.kernels: .* from another release, driver"
    ):
        load(tensorrt_rtx, path, image_batch(), "tf32")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["engine", "kernels"])
def test_a_damaged_file_is_refused_in_one_line(trt, file, damage, tmp_path):
    _, path = built(tensorrt_rtx, tmp_path, precision="tf32")
    broken = path.with_suffix(f".{file}")
    broken.write_bytes(damage(broken.read_bytes()))
    with pytest.raises(EngineRefused, match=f"^TensorRT for RTX {trt.__version__} rejects the ") as error:
        load(tensorrt_rtx, path, image_batch(), "tf32")
    assert "\n" not in str(error.value)


def test_what_a_context_was_made_from_lives_as_long_and_no_longer(trt, tmp_path, monkeypatch):
    made, create = weakref.WeakSet(), trt.ICudaEngine.create_runtime_config
    monkeypatch.setattr(
        trt.ICudaEngine, "create_runtime_config", lambda engine: made.add(found := create(engine)) or found
    )
    twin, path = built(tensorrt_rtx, tmp_path, precision="tf32")
    loaded = load(tensorrt_rtx, path, image_batch(), "tf32")
    gc.collect()
    assert len(made) == 2 and loaded(image_batch()) is not None
    for running in (twin, loaded):
        running.close()
    gc.collect()
    assert len(made) == 0 and not list(trt.double.alive)


def test_no_kernel_is_compiled_in_the_background(trt, tmp_path):
    built(tensorrt_rtx, tmp_path, precision="tf32")
    assert trt.double.strategies == [("EAGER", "DISABLED")]


def test_replay_is_the_runtime_s_own_capture_on_a_stream_that_can_be_captured(trt, tmp_path, monkeypatch):
    import torch

    waits = []

    class Stream:
        def __init__(self, name="side"):
            self.name = name

        def __enter__(self):
            monkeypatch.setattr(Stream, "inside", True, raising=False)

        def __exit__(self, *_):
            monkeypatch.setattr(Stream, "inside", False, raising=False)

        def wait_stream(self, other):
            waits.append((self.name, other.name))

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("current"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    _, path = built(tensorrt_rtx, tmp_path, precision="tf32")
    replayed = load(tensorrt_rtx, path, image_batch(), "tf32", BuildOptions(flags=frozenset([tensorrt_rtx.REPLAY])))
    assert trt.double.strategies[-1] == ("EAGER", "WHOLE_GRAPH_CAPTURE")
    other = image_batch(2)[1:]
    assert relative_error(replayed(other), small_model()(other).detach()) < 1e-5
    assert waits == [("side", "current"), ("current", "side")]
    replayed.close()
    with pytest.raises(RuntimeError, match="closed"):
        replayed(other)


def test_a_gpu_that_the_release_does_not_support_is_one_line_and_builds_nothing_again(trt, tmp_path):
    _, path = built(tensorrt_rtx, tmp_path, precision="tf32")
    trt.double.unsupported_gpu = True
    with pytest.raises(UserError) as error:
        load(tensorrt_rtx, path, image_batch(), "tf32")
    assert not isinstance(error.value, EngineRefused) and "\n" not in str(error.value)
    for part in (trt.__version__, "compute capability 9.0", "Supported: 8.0", "another twin", "tensorrt-rtx 1.6.1.120"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "version, capability, expected",
    [
        ("1.7.1.116", "9.0", "does not run on compute capability 9.0 (a GPU), only on 7.5, 8.0, 8.6, 8.9 and 12.0"),
        ("1.7.1.116", "8.7", "does not run on compute capability 8.7"),
        ("1.7.1.116", "8.6", None),
        ("1.7.1.116", "12.1", None),
        ("1.7.1.116", None, None),
        ("1.6.1.120", "9.0", None),
        ("1.3.0.1", "8.6", "TensorRT for RTX 1.3.0.1 is installed, but the suite needs 1.4 or newer"),
        (None, "8.6", "tensorrt_rtx is not installed; pip install tensorrt-rtx"),
    ],
)
def test_what_cannot_run_is_known_before_a_build(version, capability, expected, monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path)
    monkeypatch.setattr(package, "find_spec", lambda name: object() if version or "tensorrt_rtx" not in name else None)
    monkeypatch.setattr(package, "version", lambda flavour: version)
    found = {"gpu_compute_capability": capability, "gpu": "a GPU"}
    monkeypatch.setattr(machine_facts, "facts", lambda run_device: found)
    reason = tensorrt_rtx.unavailable("cuda:0")
    assert reason is None if expected is None else expected in reason and "\n" not in reason


def test_key_facts_tell_releases_drivers_and_tf32_apart(monkeypatch):
    facts = tensorrt_rtx.key_facts("cpu", BuildOptions())
    assert {"tensorrt_rtx", "driver", "gpu", "gpu_compute_capability", "workspace_bytes"} <= set(facts)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert json.loads(json.dumps(tensorrt_rtx.key_facts("cpu", BuildOptions()))) not in (facts, None)


def write(trt, folder, *capabilities):
    """(folder of an engine built for these compute capabilities, without loading it; layers of the network)."""
    options = BuildOptions(compute_capabilities=capabilities)
    return tensorrt_rtx.build_engine(
        BuildRequest(small_model(), image_batch(), "tf32", folder / "a.engine", None, options)
    )


def test_an_engine_is_built_for_the_gpus_asked_for_and_not_loaded(trt, tmp_path):
    assert write(trt, tmp_path, "sm86", "sm89") == 5
    config = trt.double.built
    assert config.num_compute_capabilities == 2 and config._targets == {0: "SM86", 1: "SM89"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.engine"]
    assert "deserialise" not in trt.double.calls
    write(trt, tmp_path)
    assert trt.double.built.num_compute_capabilities == 0


def test_on_turing_it_builds_for_turing(trt, tmp_path, monkeypatch):
    found = {**machine_facts.facts("cpu"), "gpu_compute_capability": "7.5"}
    monkeypatch.setattr(machine_facts, "facts", lambda run_device: found)
    write(trt, tmp_path)
    assert trt.double.built._targets == {0: "SM75"}


def test_an_unknown_target_names_the_known_ones(trt, tmp_path):
    with pytest.raises(
        UserError, match=f"^TensorRT for RTX {trt.__version__} cannot build for sm90; choose from sm75, "
    ):
        write(trt, tmp_path, "sm90")


def test_it_keeps_no_timing_cache(trt, tmp_path):
    built(tensorrt_rtx, tmp_path, precision="tf32", options=BuildOptions(timing_folder=tmp_path / "timing"))
    assert not (tmp_path / "timing").exists()


def test_one_engine_serves_every_batch_size_of_its_profile(trt, tmp_path):
    model, options = small_model(), BuildOptions(batch_profile=(1, 2, 4))
    _, path = built(tensorrt_rtx, tmp_path, model, "fp16", image_batch(2), options)
    for count in (1, 2, 4):
        batch = image_batch(count)
        assert relative_error(load(tensorrt_rtx, path, batch, "fp16")(batch), model(batch)) < TOLERANCE["fp16"]
