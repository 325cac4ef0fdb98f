"""Tests of backend tensorrt_dla on an executing double, for the API of 8.4, 8.6, 10.3 and 10.13; no DLA was seen."""

from __future__ import annotations

import json

import pytest
import torch

from fixtures import backends
from fixtures.backends import tensorrt_dla
from fixtures.common import phases
from fixtures.common.build_options import DEFAULT
from fixtures.common.errors import EngineRefused, UserError
from fixtures.machine import jetson
from fixtures.tensorrt import dla
from tests.doubles import on_host
from tests.doubles.small import built, image_batch, load, relative_error, small_model
from tests.doubles.tensorrt_double import VERSIONS
from tests.helpers.recorded_machines import tree

WITH_DLA = [version for version in VERSIONS if int(version.split(".")[0]) < dla.FIRST_WITHOUT[0]]


@pytest.fixture(params=WITH_DLA)
def trt(request, monkeypatch):
    """The double of each version on a board with two cores."""
    found = on_host.tensorrt(monkeypatch, request.param)
    found.double.dla_cores = 2
    return found


@pytest.fixture
def one(monkeypatch):
    """The same where the version makes no difference."""
    found = on_host.tensorrt(monkeypatch, "10.3.0")
    found.double.dla_cores = 2
    return found


@pytest.fixture(autouse=True)
def placement(monkeypatch):
    """What the backend tells the run, empty before each test."""
    monkeypatch.setattr(phases, "placement", {})
    return phases.placement


@pytest.mark.parametrize("precision", tensorrt_dla.PRECISIONS)
def test_an_engine_is_built_for_a_core_stored_loaded_and_agrees(trt, precision, tmp_path, placement):
    model, example = small_model(), image_batch()
    twin, path = built(tensorrt_dla, tmp_path, model, precision)
    config = trt.double.built
    assert (config.default_device_type.name, config.DLA_core) == ("DLA", 0)
    flags = {flag.name for flag in config._flags}
    assert flags == {"GPU_FALLBACK", "FP16"} | ({"INT8"} if precision == "int8" else set())
    placement.clear()
    loaded = load(tensorrt_dla, path, example, precision)
    for batch in (example, image_batch(2)[1:]):
        expected = model(batch).detach()
        assert relative_error(twin(batch), expected) < 1e-2 and relative_error(loaded(batch), expected) < 1e-2
    assert placement["accelerator"] == "DLA core 0 of 2", "known from the load alone, as for a cached engine"


def test_int8_is_calibrated_by_tensorrt_with_every_image(trt, tmp_path):
    built(tensorrt_dla, tmp_path, precision="int8")
    assert trt.double.calibrated == 14
    built(tensorrt_dla, tmp_path, precision="fp16")
    assert trt.double.calibrated == 14


def test_layers_that_fall_back_are_named_with_their_share(one, tmp_path, placement):
    _, path = built(tensorrt_dla, tmp_path, precision="fp16")
    assert len(placement["fallback_layers"]) == 2 and placement["fallback_share"] == 2 / 5
    assert all("Conv" not in name for name in placement["fallback_layers"])
    fewer = list(placement["fallback_layers"])
    one.double.cannot_run.add("MaxPool")
    built(tensorrt_dla, tmp_path, precision="fp16")
    (new,) = set(placement["fallback_layers"]) - set(fewer)
    assert "MaxPool" in new and placement["fallback_share"] == 3 / 5


def test_a_board_whose_tensorrt_finds_no_core_is_refused(one, tmp_path):
    one.double.dla_cores = 0
    with pytest.raises(UserError, match=r"finds no DLA on this board \(num_DLA_cores is 0\); use a tensorrt twin"):
        built(tensorrt_dla, tmp_path, precision="fp16")


def test_a_model_of_which_nothing_can_run_there_is_refused(one, tmp_path):
    one.double.cannot_run.update(("Conv", "Relu", "MaxPool"))
    with pytest.raises(UserError, match="the DLA can run none of the 5 layers in fp16; use a tensorrt twin"):
        built(tensorrt_dla, tmp_path, precision="fp16")


def test_an_engine_that_runs_on_the_gpu_after_all_is_refused(one, tmp_path):
    """The mutant of this backend: the builder said that the DLA can run it, and the engine does not use the DLA."""
    one.double.ignores_dla = True
    with pytest.raises(UserError, match=r"runs no layer of artefact.engine on the DLA, although .* 3 of 5"):
        built(tensorrt_dla, tmp_path, precision="fp16")


@pytest.mark.parametrize("damage", ["", "{", '{"core": 0}', '{"core": 0, "cores": 2, "layers": 5, "fallback": 3}'])
def test_an_engine_without_its_note_is_rebuilt(one, tmp_path, damage):
    _, path = built(tensorrt_dla, tmp_path, precision="fp16")
    note = path.with_suffix(dla.SUFFIX)
    assert json.loads(note.read_text())["layers"] == 5
    note.write_text(damage)
    with pytest.raises(EngineRefused, match="placement.json cannot be read .*: build the engine again"):
        load(tensorrt_dla, path, image_batch(), "fp16")


def test_an_engine_is_refused_by_a_runtime_that_was_given_no_core(one, tmp_path):
    _, path = built(tensorrt_dla, tmp_path, precision="fp16")
    assert one.Runtime(one.Logger()).deserialize_cuda_engine(path.read_bytes()) is None
    load(tensorrt_dla, path, image_batch(), "fp16")


def without_dla(monkeypatch, tmp_path, cores, version="10.3.0"):
    """Why it is unavailable on a machine with a GPU, this TensorRT and this many DLA cores."""
    tmp_path.mkdir()
    on_host.machine(monkeypatch, tmp_path, tensorrt=version, onnx="", onnxruntime="")
    monkeypatch.setattr(jetson, "dla_cores", lambda: cores)
    return tensorrt_dla.unavailable("cuda:0")


def test_it_runs_where_there_is_a_dla_and_says_why_not_elsewhere(monkeypatch, tmp_path):
    assert without_dla(monkeypatch, tmp_path / "orin", 2) is None
    assert without_dla(monkeypatch, tmp_path / "nano", 0).startswith("no DLA here: Xavier, Orin NX")
    assert "TensorRT 11.4.0 builds for no DLA" in without_dla(monkeypatch, tmp_path / "new", 2, "11.4.0")
    monkeypatch.undo()
    assert tensorrt_dla.unavailable("cpu"), "every machine here"


def test_it_runs_only_when_it_is_named():
    assert {"tensorrt_dla_fp16", "tensorrt_dla_int8"} <= set(backends.TWINS)
    assert not any(name.startswith("tensorrt_dla") for tier in backends.default_tiers() for name in tier)
    assert "computes in fp16 and int8 only" in backends.not_offered()["tensorrt_dla_fp32"]


@pytest.mark.parametrize(
    "files, cores",
    [
        (["nvhost-ctrl-nvdla0", "nvhost-ctrl-nvdla1"], 2),
        (["nvhost-nvdla0", "nvhost-ctrl-nvdla0"], 1),
        (["nvhost-gpu", "nvhost-ctrl-pva0"], 0),
        ([], 0),
    ],
)
def test_cores_are_counted_by_their_device_files(tmp_path, files, cores):
    assert jetson.dla_cores(tree(tmp_path, {f"dev/{name}": "" for name in files})) == cores


def test_key_facts_can_be_written_and_name_the_core(one):
    facts = tensorrt_dla.key_facts("cpu", DEFAULT)
    assert json.loads(json.dumps(facts)) == facts and facts["dla_core"] == 0


def test_several_inputs_are_calibrated_in_the_models_order(one, tmp_path):
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 3)

        def forward(self, batch, other):
            return self.layer(batch).relu().mean((2, 3)) + other.mean((2, 3))[:, :1]

    example = (image_batch(), image_batch(2)[1:])
    calibration = (image_batch(14), image_batch(14).flip(0))
    request = backends.BuildRequest(Two().eval(), example, "int8", tmp_path / "artefact.engine", calibration)
    tensorrt_dla.build(request)
    assert one.double.calibrated == 14
