"""Tests that every mutant is refused at every precision, and that an ineffective check is named."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest
import torch

from fixtures.checks import sensitivity, sensitivity_calls
from fixtures.checks.sensitivity import try_mutants
from fixtures.common.outputs import to_numpy
from fixtures.judge.accuracy import accuracy, accuracy_drop
from fixtures.judge.agreement import agree_all
from fixtures.judge.decisions import top1
from fixtures.models.zoo import ModelSpec
from fixtures.mutants import calls as mutants_calls
from fixtures.mutants import outputs as mutants
from fixtures.mutants.outputs import Mutant
from fixtures.mutants.trials import Sensitivity, Trial, summary_line
from fixtures.tolerances.outputs import TABLE, tolerance

OWNERS = {
    "agreement": (sensitivity, "agree_all"),
    "top1": (sensitivity, "top1"),
    "accuracy": (sensitivity, "accuracy_drop"),
    "repeatability": (sensitivity_calls, "repeatability"),
}
EVERY = [
    *mutants.OUTPUT_MUTANTS,
    *mutants_calls.CALL_MUTANTS,
    *mutants.INPUT_MUTANTS,
    *mutants.WEIGHT_MUTANTS,
    *mutants.FP32_MUTANTS,
]
PREPROCESS = SimpleNamespace(mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.25])
IMAGES, CLASSES, SIZE = 50, 60, 32
IDS = {"ids": lambda mutant: mutant.name}


class Classifier(torch.nn.Module):
    """One linear layer that predicts class i for image i by a clear margin."""

    def __init__(self, batch, postprocess):
        super().__init__()
        self.layer = torch.nn.Linear(batch[0].numel(), CLASSES, bias=False)
        pixels = batch.flatten(1)
        self.layer.weight.data.normal_(generator=torch.Generator().manual_seed(1)).mul_(pixels[0].numel() ** -0.5)
        self.layer.weight.data[:IMAGES] += 8 * pixels / pixels.square().sum(1, keepdim=True)
        self.postprocess = postprocess

    def forward(self, batch):
        return self.postprocess(self.layer(batch.flatten(1)))


def running(key=("fp32", "trained"), task="classification", postprocess=lambda logits: logits, preprocess=PREPROCESS):
    """A classifier and a correct twin of it, with errors of up to a quarter of the tolerance."""
    batch = torch.randn(IMAGES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    module = Classifier(batch, postprocess).eval()
    reference, limit = to_numpy(module(batch)), tolerance(*key)
    noise = numpy.random.default_rng(8)
    outputs = {
        name: output + noise.uniform(-0.25, 0.25, output.shape) * limit.relative_error * numpy.abs(output).max()
        for name, output in reference.items()
    }
    model = SimpleNamespace(
        spec=ModelSpec("small", builder=lambda: module, preprocess=preprocess, task=task),
        module=module,
        weights_kind=key[1],
        image_names=tuple(f"{number}.jpg" for number in range(IMAGES)),
        labels=numpy.arange(IMAGES),
        reference=reference,
        judged_output=next(iter(reference)),
        first=lambda count: batch[:count],
    )
    twin = SimpleNamespace(precision=key[0], tolerance=limit, outputs=outputs, run=module, open=lambda size: None)
    return model, twin


@pytest.mark.parametrize("key", TABLE, ids="-".join)
def test_correct_twin_passes_and_each_mutant_is_refused(key):
    model, twin = running(key)
    (logits,), (reference,) = twin.outputs.values(), model.reference.values()
    assert agree_all(twin.outputs, model.reference, twin.tolerance, model.image_names)
    assert top1(logits, reference, twin.tolerance, model.image_names)
    assert accuracy_drop(accuracy(logits, model.labels), accuracy(reference, model.labels))
    found = try_mutants(model, twin)
    assert found, found.report("small")
    claimed = [mutant for mutant in EVERY if mutant.name not in mutants.NOT_CLAIMED.get(key, ())]
    expected = [mutant for mutant in claimed if key[0] == "fp32" or mutant not in mutants.FP32_MUTANTS]
    assert [trial.mutant for trial in found.trials] == expected


@pytest.mark.parametrize("mutant", EVERY, **IDS)
def test_mutant_survives_an_ineffective_check_which_is_named(mutant, monkeypatch):
    monkeypatch.setattr(*OWNERS[mutant.owner], lambda *arguments: True)
    found = try_mutants(*running())
    assert not found and mutant.name in [one.mutant.name for one in found.survivors]
    assert {one.mutant.owner for one in found.survivors} == {mutant.owner}, "the other checks are effective"
    assert f"  survived  {mutant.name}: the {mutant.owner} check let it pass" in found.report("small x").splitlines()


@pytest.mark.parametrize("owner", OWNERS)
def test_refusals_prove_nothing_if_the_unchanged_twin_is_refused_too(owner, monkeypatch):
    monkeypatch.setattr(*OWNERS[owner], lambda *arguments: False)
    found = try_mutants(*running())
    assert not found and not found.survivors and found.misjudged == (owner,)
    lines = found.report("small x").splitlines()
    assert lines[1] == f"  invalid   the {owner} check refuses the unchanged twin too" and "prove nothing" in lines[-1]


def test_mutants_too_subtle_for_a_precision_are_listed_as_not_claimed(monkeypatch):
    monkeypatch.setattr(mutants, "NOT_CLAIMED", {("fp16", "trained"): ("zeros", "BGR for RGB")})
    found = try_mutants(*running(("fp16", "trained")))
    assert summary_line(found.as_dict()) == "mutants: 13 of 13 refused; not claimed: zeros, BGR for RGB"
    assert summary_line(try_mutants(*running()).as_dict()) == "mutants: 16 of 16 refused", (
        "another precision claims them"
    )


def test_not_claimed_table_names_existing_mutants_and_tolerances():
    named = {name for names in mutants.NOT_CLAIMED.values() for name in names}
    assert named <= {mutant.name for mutant in EVERY} and set(mutants.NOT_CLAIMED) <= set(TABLE)


def test_each_output_gets_every_agreement_mutant():
    found = try_mutants(*running(task="tensor", postprocess=lambda logits: (logits.reshape(-1, 6, 10), logits * 3)))
    of_numbers = [mutant.name for mutant in mutants.OUTPUT_MUTANTS if mutant.owner == "agreement"]
    names = [trial.mutant.name for trial in found.trials]
    assert found and names[:10] == [f"{name}, output_{place}" for place in (0, 1) for name in of_numbers]


def test_change_that_does_not_affect_eager_is_left_out():
    """This model looks only at the left edge of the image, which the shifted crop repeats."""
    model, twin = running(task="tensor")
    model.module.forward = twin.run = lambda batch: batch[..., 0].sum(dim=2)
    model.reference = twin.outputs = to_numpy(twin.run(model.first(IMAGES)))
    found = try_mutants(model, twin)
    assert "BGR for RGB" in [trial.mutant.name for trial in found.trials]
    assert "crop off by 16 pixels" in found.left_out and "input not normalised" not in found.left_out
    assert "; left out: crop off by 16 pixels" in summary_line(found.as_dict())


def test_missing_normalisation_is_left_out():
    found = try_mutants(*running(preprocess=lambda picture: picture))
    assert found and found.left_out == ("input not normalised",)


def test_check_that_refuses_the_unchanged_twin_is_named_in_the_summary(monkeypatch):
    monkeypatch.setattr(sensitivity, "top1", lambda *arguments: False)
    assert (
        summary_line(try_mutants(*running()).as_dict()) == "mutants: 16 of 16 refused; unchanged twin refused by: top1"
    )


@pytest.mark.parametrize("grey, calls", [(0, 1), (1, 8)])
def test_input_mutant_runs_on_more_images_only_if_the_first_output_passes(grey, calls, monkeypatch):
    """Swapping red and blue does not change a grey image, so the next images must show the difference."""
    model, twin = running()
    batch = model.first(IMAGES)
    batch[:grey] = batch[:grey].mean(dim=1, keepdim=True)
    model.reference = twin.outputs = to_numpy(model.module(batch))
    rows = []
    twin.run = lambda row: rows.append(row) or model.module(row)
    monkeypatch.setattr(mutants, "INPUT_MUTANTS", {Mutant("BGR for RGB", "agreement"): mutants.bgr})
    found = try_mutants(model, twin)
    assert "BGR for RGB" in [trial.mutant.name for trial in found.trials if trial.refused] and len(rows) == calls


def test_unused_weights_make_no_mutants():
    model, twin = running(task="tensor", postprocess=lambda logits: logits)
    model.module.forward = twin.run = lambda batch: batch.flatten(2).mean(dim=2)
    model.reference = twin.outputs = to_numpy(twin.run(model.first(IMAGES)))
    of_weights = {mutant.name for mutant in (*mutants.WEIGHT_MUTANTS, *mutants.FP32_MUTANTS)}
    found = try_mutants(model, twin)
    assert found and of_weights <= set(found.left_out)


def test_half_precision_is_left_out_if_float16_holds_the_weights_exactly():
    model, twin = running()
    model.module.layer.weight.data = model.module.layer.weight.data.half().float()
    model.reference = twin.outputs = to_numpy(model.module(model.first(IMAGES)))
    found = try_mutants(model, twin)
    assert found and found.left_out == ("half precision sold as fp32",)


def test_constant_output_is_not_a_mutant_of_itself():
    """Anchors, for example: frozen or shifted by one, they do not change."""
    anchors = torch.arange(6.0) + 1
    model, twin = running(task="tensor", postprocess=lambda scores: (scores, anchors.expand(len(scores), -1)))
    found = try_mutants(model, twin)
    assert {"frozen on its first output, output_1", "batch shifted by one, output_1"} <= set(found.left_out)
    assert not {"zeros, output_1", "one NaN, output_1"} & set(found.left_out)


COMPLEX = ["zeros", "one NaN", "noise of 3 times the tolerance", "imaginary part dropped", "every fifth call off"]


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_outputs_have_mutants_of_their_own(name, monkeypatch):
    model, twin = running(task="tensor", postprocess=lambda scores: torch.complex(scores, scores.flip(1)))
    found = try_mutants(model, twin)
    assert found and name in [trial.mutant.name for trial in found.trials]
    monkeypatch.setattr(sensitivity, "agree_all", lambda *arguments: True)
    owned = name != "every fifth call off"
    assert (name in [trial.mutant.name for trial in try_mutants(model, twin).survivors]) is owned


def test_the_weights_are_put_back():
    model, twin = running()
    before = model.module.layer.weight.detach().clone()
    try_mutants(model, twin)
    assert torch.equal(model.module.layer.weight, before)


def test_a_survivor_is_named_with_the_check_that_let_it_pass():
    refused, survived = Trial(Mutant("zeros", "agreement"), True), Trial(Mutant("BGR for RGB", "agreement"), False)
    verdict = Sensitivity((refused, survived))
    assert not verdict and Sensitivity((refused,)) and not Sensitivity(())
    assert verdict.as_dict() == {
        "refused": 1,
        "total": 2,
        "survivors": [{"mutant": "BGR for RGB", "check": "agreement"}],
        "misjudged": [],
        "left_out": [],
        "not_claimed": [],
    }
    lines = verdict.report("resnet18 x").splitlines()
    assert lines[0] == "resnet18 x: mutants: 1 of 2 refused"
    assert "BGR for RGB: the agreement check let it pass" in lines[1] and "tighten its tolerance" in lines[-1]
    assert len(Sensitivity((refused,)).report("resnet18 x").splitlines()) == 1
