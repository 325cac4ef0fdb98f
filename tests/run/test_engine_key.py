"""The key of an engine: what must make another one, and what must not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from fixtures.backends import TWINS
from fixtures.common.build_options import DEFAULT
from fixtures.machine import facts as machine_facts
from fixtures.models import own_code
from fixtures.models.weights import WeightsFile
from fixtures.models.zoo import MODELS, ModelSpec
from fixtures.run import engine_key
from fixtures.run.worker import Job

SPEC, TWIN = MODELS["resnet18"], TWINS["onnxruntime_fp32"]
JOB = Job("resnet18", TWIN.name, Path("w.pth"), numpy.zeros((1, 3, 8, 8), "float32"), "cpu", DEFAULT)
WEIGHTS, OTHER_WEIGHTS = WeightsFile(Path("w.pth"), "a" * 64), WeightsFile(Path("w.pth"), "b" * 64)
OWN = ModelSpec("own", builder=lambda: None, preprocess=lambda picture: picture)


def test_the_key_can_be_written_and_is_the_same_for_the_same_engine():
    found = engine_key.facts(SPEC, TWIN, WEIGHTS, JOB)
    assert found == engine_key.facts(SPEC, TWIN, WEIGHTS, JOB)
    assert json.loads(json.dumps(found)) == found
    assert {"model", "weights", "input_shape", "backend", "precision", "recipe", "torchvision"} <= set(found)


@pytest.mark.parametrize(
    "spec, twin, weights, job",
    [
        (MODELS["resnet50"], TWIN, WEIGHTS, JOB),
        (SPEC, TWINS["onnxruntime_int8"], WEIGHTS, JOB),
        (SPEC, TWIN, OTHER_WEIGHTS, JOB),
        (SPEC, TWIN, WEIGHTS, replace(JOB, example=numpy.zeros((2, 3, 8, 8), "float32"))),
    ],
    ids=["model", "precision", "weights", "shape"],
)
def test_another_model_precision_state_or_shape_is_another_engine(spec, twin, weights, job):
    assert engine_key.facts(spec, twin, weights, job) != engine_key.facts(SPEC, TWIN, WEIGHTS, JOB)


def test_the_options_of_the_builder_and_what_they_are_called_count():
    spec = replace(OWN, builder_options={"width": 1})
    assert engine_key.facts(spec, TWIN, WEIGHTS, JOB)["options"] == {"width": "1"}
    for options in ({}, {"width": 2}, {"depth": 1}):
        other = replace(OWN, builder_options=options)
        assert engine_key.facts(other, TWIN, WEIGHTS, JOB) != engine_key.facts(spec, TWIN, WEIGHTS, JOB)


def test_what_it_is_calibrated_with_counts():
    images = numpy.zeros((14, 3, 8, 8), "float32")
    keys = [engine_key.facts(SPEC, TWIN, WEIGHTS, replace(JOB, calibration=batch)) for batch in (images, images + 1)]
    assert keys[0] == engine_key.facts(SPEC, TWIN, WEIGHTS, replace(JOB, calibration=images.copy()))
    assert keys[0] != keys[1] and "calibration" not in engine_key.facts(SPEC, TWIN, WEIGHTS, JOB)


def test_what_an_own_model_is_built_from_counts():
    keys = [
        engine_key.facts(OWN, TWIN, replace(WEIGHTS, code={"sources": [f"net.py {digest}"]}), JOB) for digest in "ab"
    ]
    assert keys[0] != keys[1] and json.loads(json.dumps(keys[0])) == keys[0]


def test_another_timm_is_another_engine_of_its_models_alone(monkeypatch):
    keys = []
    for version in ("1.0.9", "1.0.15"):
        monkeypatch.setattr(own_code, "package", lambda name, version=version: f"{name} {version}")
        keys.append([engine_key.facts(spec, TWIN, WEIGHTS, JOB) for spec in (ModelSpec("timm/resnet18"), SPEC)])
    assert keys[0][0] != keys[1][0] and keys[0][1] == keys[1][1]


def test_the_device_and_the_choices_of_the_build_are_the_backend_s_to_count(monkeypatch):
    monkeypatch.setattr(type(TWIN), "key_facts", lambda self, device, options=None: {"counted": (device, options)})
    assert engine_key.facts(SPEC, TWIN, WEIGHTS, JOB)["counted"] == ("cpu", DEFAULT)


def test_the_recipe_is_twelve_digits():
    assert re.fullmatch("[0-9a-f]{12}", engine_key.recipe(TWIN))


def test_another_torchvision_is_another_engine(monkeypatch):
    before, found = engine_key.facts(SPEC, TWIN, WEIGHTS, JOB), machine_facts.facts("cpu")
    monkeypatch.setattr(machine_facts, "facts", lambda run_device: {**found, "torchvision": "0.0.1"})
    assert engine_key.facts(SPEC, TWIN, WEIGHTS, JOB) == {**before, "torchvision": "0.0.1"}


# Each is imported by another of them, by the backend at its top, or within a function.
BUILDING = ["backends/onnxruntime.py", "backends/__init__.py", "onnx/export.py", "onnx/precision.py", "models/cores.py"]
BUILDING += [
    "onnx/calibration_batches.py",
    "common/inputs.py",
    "common/outputs.py",
    "common/phases.py",
    "machine/cuda.py",
]


@pytest.mark.parametrize("name", BUILDING)
def test_every_file_that_the_build_imports_counts(name, monkeypatch):
    before, read = engine_key.recipe(TWIN), Path.read_bytes
    changed = engine_key.PACKAGE / name
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path == changed else b""))
    assert engine_key.recipe(TWIN) != before


@pytest.mark.parametrize("name", ["backends/torch2trt.py", "run/session.py", "tolerances/outputs.py"])
def test_other_files_do_not_count(name):
    files = engine_key.sources("twins.backends.onnxruntime", "twins.models.cores")
    assert engine_key.PACKAGE / name not in files


def test_python_itself_imports_nothing_that_is_left_out(root):
    code = (
        "import sys, twins.onnx.export, twins.onnx.precision, twins.tensorrt.builder\n"
        "import twins.tensorrt.engine\n"
        "print(*(module.__file__ for name, module in sys.modules.items() if name[:6] == 'twins.'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, check=True, text=True)
    loaded = {Path(path).resolve() for path in done.stdout.split() if Path(path).name != "__init__.py"}
    assert loaded <= set(engine_key.sources("twins.backends.tensorrt")) and len(loaded) > 6


def test_another_backend_s_file_does_not_count(monkeypatch):
    assert engine_key.recipe(TWINS["tensorrt_fp32"]) != engine_key.recipe(TWINS["torch2trt_fp32"])
    assert engine_key.recipe(TWINS["tensorrt_fp32"]) == engine_key.recipe(TWINS["tensorrt_fp16"])


def test_the_user_s_file_counts_for_the_user_s_models_alone(tmp_path):
    keys = []
    for text in ("# one\n", "# another\n"):
        path = tmp_path / f"{len(keys)}.py"
        path.write_text(text)
        keys.append([engine_key.facts(spec, TWIN, WEIGHTS, JOB, [path]) for spec in (OWN, SPEC)])
    assert keys[0][0] != keys[1][0] and keys[0][1] == keys[1][1]
