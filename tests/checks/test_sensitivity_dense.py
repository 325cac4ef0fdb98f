"""Mutants of a detector and a segmenter: each is refused by the check it is assigned to, and by no other."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest
import torch

from fixtures.answers.detector import Detector
from fixtures.checks import sensitivity, sensitivity_dense
from fixtures.checks.sensitivity import try_mutants
from fixtures.common.outputs import to_numpy
from fixtures.images import folder as image_folder
from fixtures.models.cores import core
from fixtures.models.zoo import preprocessing
from fixtures.mutants import calls as mutants_calls
from fixtures.mutants import dense as mutants_dense
from fixtures.tolerances.outputs import tolerance
from tests.model_files import tiny_dense

DETECTOR, _, SEGMENTER = tiny_dense.MODELS
IMAGES = image_folder.judged_images(image_folder.BUNDLED)[::6][:8]
OWN = {"detection": mutants_dense.BOX_MUTANTS, "segmentation": mutants_dense.MASK_MUTANTS}
CHECKS = {"detection": "judge", "segmentation": "judge_masks"}


def running(spec):
    """A tiny model on eight images, and a correct twin of it whose error is a hundredth of fp32's tolerance."""
    module = core(spec, spec.builder()).requires_grad_(False)
    batch = image_folder.load(IMAGES, preprocessing(spec)).batch
    with torch.inference_mode():
        reference = to_numpy(module(batch))
    limit, noise = tolerance("fp32", "own"), numpy.random.default_rng(0)
    outputs = {
        name: output + (noise.uniform(-0.01, 0.01, output.shape) * limit.relative_error).astype(numpy.float32)
        for name, output in reference.items()
    }
    model = SimpleNamespace(
        spec=spec,
        module=module,
        weights_kind="own",
        image_names=tuple(image.name for image in IMAGES),
        judged=SimpleNamespace(readable=IMAGES),
        labels=numpy.full(len(IMAGES), -1),
        reference=reference,
        judged_output=next(iter(reference)),
        first=lambda count: batch[:count],
        detector=Detector(spec) if spec.task == "detection" else None,
    )
    run = torch.inference_mode()(module)
    return model, SimpleNamespace(precision="fp32", tolerance=limit, outputs=outputs, run=run, open=lambda size: None)


@pytest.fixture(scope="module")
def cases():
    return {spec.task: running(spec) for spec in (DETECTOR, SEGMENTER)}


@pytest.mark.parametrize("task", OWN)
def test_a_right_twin_passes_and_each_mutant_is_refused_and_listed(task, cases):
    found = try_mutants(*cases[task])
    assert found, found.report(task)
    listed = [trial.mutant for trial in found.trials if trial.mutant.owner == task]
    assert listed == list(OWN[task]) and len(found.trials) > 10


@pytest.mark.parametrize("task", OWN)
def test_a_check_that_sleeps_is_named_for_each_of_its_mutants_and_for_no_other(task, cases, monkeypatch):
    monkeypatch.setattr(sensitivity_dense, CHECKS[task], lambda *arguments: True)
    found = try_mutants(*cases[task])
    assert not found and [one.mutant for one in found.survivors] == list(OWN[task])
    for mutant in OWN[task]:
        assert f"  survived  {mutant.name}: the {task} check let it pass" in found.report("tiny x").splitlines()


@pytest.mark.parametrize("task", OWN)
def test_a_check_that_refuses_the_right_twin_too_proves_nothing(task, cases, monkeypatch):
    monkeypatch.setattr(sensitivity_dense, CHECKS[task], lambda *arguments: False)
    found = try_mutants(*cases[task])
    assert not found and not found.survivors and found.misjudged == (task,)


@pytest.mark.parametrize("task", OWN)
def test_the_check_of_the_numbers_owns_the_other_mutants(task, cases, monkeypatch):
    monkeypatch.setattr(sensitivity, "agree_all", lambda *arguments: True)
    found = try_mutants(*cases[task])
    others = [trial for trial in found.trials if trial.mutant.owner == "agreement"]
    assert found.survivors == others
    assert len(others) + len(OWN[task]) + len(mutants_calls.CALL_MUTANTS) == len(found.trials)


@pytest.mark.parametrize("task", OWN)
def test_what_is_recorded_and_not_judged_has_no_mutants_of_its_own(task, cases):
    model, twin = cases[task]
    calibrated = SimpleNamespace(**{**vars(model), "weights_kind": "calibrated"})
    assert list(sensitivity_dense.judged(calibrated, SimpleNamespace(precision="int8", outputs=twin.outputs))) == []
