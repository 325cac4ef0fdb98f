"""Tests of the zoo's calibrated weights: accuracy, numerical health, reproducibility, time and memory."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torchvision.models import get_model

from fixtures.models.calibration import SEED
from fixtures.models.weights import WeightsSource, load_model, weights_file
from fixtures.models.zoo import MODELS
from tests.helpers.logits import (
    FLOAT16_MAX,
    FLOAT16_SMALLEST_NORMAL,
    images_for,
    nearest,
    right,
    scale,
    unsafe,
    watched,
)

CALIBRATED = WeightsSource("calibrated", None, "for a test")
CLASSIFIERS = [name for name, spec in MODELS.items() if spec.task == "classification" and not spec.builder]
# A separate process, as in the suite, so that time and memory are those of calibration alone. Calibration has already
# run every image up to the last layer and then only fits that layer, so the logits cost nothing.
MAKE = """
import json, resource, sys, time
from pathlib import Path
import torch
from fixtures.models import calibration
from fixtures.models.weights import WeightsSource, weights_file
from fixtures.models.zoo import MODELS

folder, fit, made = Path(sys.argv[1]), calibration._fit, {}

def fit_and_answer(last, features, logits, labels):
    fit(last, features, logits, labels)
    torch.save({"logits": last(features.float()), "labels": labels}, folder / f"{name}.pt")

calibration._fit = fit_and_answer
for name in sys.argv[2:]:
    wall, cpu = time.perf_counter(), time.process_time()
    file = weights_file(MODELS[name], WeightsSource("calibrated", None, ""), folder)
    seconds = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    made[name] = {"path": str(file.path), "digest": file.digest, "fitted": str(folder / f"{name}.pt"), **seconds}
print(json.dumps({"made": made, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""
# glibc keeps freed memory, which saves a tenth of the time.
KEPT = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


@pytest.fixture(scope="module")
def made(root, tmp_path_factory, once):
    """Every model's file, made in another process, with its outputs and the time and memory used."""

    def make():
        command = [sys.executable, "-c", MAKE, str(tmp_path_factory.mktemp("cache")), *CLASSIFIERS]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, env={**os.environ, **KEPT})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return once("calibrated", make)


@pytest.fixture(params=CLASSIFIERS)
def fitted(request, made):
    """Each model's fitted outputs: logits and labels of every image."""
    return SimpleNamespace(**torch.load(made["made"][request.param]["fitted"], weights_only=True))


@pytest.fixture(scope="module", params=CLASSIFIERS)
def loaded(request, made):
    """Each model, reloaded from its file, and its outputs for every eighth image, none of which scaled its layers.

    fitted: what calibrating computed for the same images. It takes every fourth, from the first on, before every
    fourth from the second on, of which these are every other one.
    """
    spec = MODELS[request.param]
    module = load_model(spec, made["made"][spec.name]["path"])
    batch, _ = images_for(spec)
    logits, extremes = watched(module, batch[1::8])
    fitted = torch.load(made["made"][spec.name]["fitted"], weights_only=True)["logits"][16:32:2]
    return SimpleNamespace(module=module, batch=batch[1::8], logits=logits, extremes=extremes, fitted=fitted)


def test_top_1_is_right_on_nine_of_ten_images(fitted):
    assert len(fitted.labels) == 64
    assert right(fitted.logits, fitted.labels) >= 0.9


def test_logits_vary_like_those_of_trained_models(fitted):
    assert 0.5 <= float(fitted.logits.std()) <= 5


def test_no_two_images_have_equal_logits(fitted):
    assert nearest(fitted.logits) > 0.1 * scale(fitted.logits)


def test_top_1_is_stable_under_float16_noise(fitted):
    assert unsafe(fitted.logits) <= 1


def test_the_reloaded_file_gives_the_fitted_outputs(loaded):
    assert len(loaded.logits) == len(loaded.fitted) == 8
    assert float((loaded.logits - loaded.fitted).abs().max()) < 1e-4 * scale(loaded.fitted)


def test_no_activation_is_near_the_largest_float16(loaded):
    assert max(loaded.extremes.values()) < FLOAT16_MAX / 100


def test_no_module_underflows_in_float16(loaded):
    assert min(loaded.extremes.values()) > 1000 * FLOAT16_SMALLEST_NORMAL


def test_emulated_float16_agrees(loaded):
    """Weights and every module's output rounded to float16."""
    rounded = copy.deepcopy(loaded.module)
    for parameter in rounded.parameters():
        parameter.data = parameter.data.half().float()
    for part in rounded.modules():
        part.register_forward_hook(lambda part, inputs, output: output.half().float())
    with torch.inference_mode():
        logits = rounded(loaded.batch[::2].half().float())
    expected = loaded.logits[::2]
    assert torch.equal(logits.argmax(1), expected.argmax(1))
    assert float((logits - expected).abs().max()) < 0.02 * scale(expected)


def test_biases_are_distinct(loaded):
    """Exporters merge equal biases, and TensorRT 8.4 refuses the result."""
    biases = [
        tuple(value.tolist()) for name, value in loaded.module.named_parameters() if name.rpartition(".")[2] == "bias"
    ]
    assert biases and len(set(biases)) == len(biases)
    assert all(len(set(values)) > 0.9 * len(values) for values in biases)


def test_untrained_weights_fail_these_checks():
    """The checks above are meaningful: torchvision's random initialisation fails them."""
    torch.manual_seed(0)
    batch, labels = images_for(MODELS["alexnet"])
    logits, _ = watched(get_model("alexnet", weights=None).eval(), batch)
    assert right(logits, labels) < 0.1
    assert float(logits.std()) < 0.1
    assert unsafe(logits) > 1


@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_two_processes_give_the_same_bits(name, made, tmp_path):
    again = weights_file(MODELS[name], CALIBRATED, tmp_path)
    assert again.digest == made["made"][name]["digest"]


def test_another_seed_gives_other_weights(monkeypatch, made, tmp_path):
    monkeypatch.setattr("twins.models.weights.SEED", SEED + 1)
    again = weights_file(MODELS["alexnet"], CALIBRATED, tmp_path)
    assert again.digest != made["made"]["alexnet"]["digest"]


def test_time_and_memory(made):
    """At most 75 s on two cores for all models, as CPU time, which hardly depends on other load; at most 3 GB."""
    cpu_s = {name: one["cpu_s"] for name, one in made["made"].items()}
    assert list(cpu_s) == CLASSIFIERS and sum(cpu_s.values()) < 2 * 75, cpu_s
    assert made["peak_bytes"] < 3e9
