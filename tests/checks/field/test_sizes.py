"""Tests of the check of sizes on twins that follow a change of size, and on one that does not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fixtures.checks.field import sizes as check
from fixtures.common.errors import ModelFault
from fixtures.mutants.outputs import UNTOUCHED
from fixtures.tolerances.outputs import tolerance

SIZES = ((8, 8), (12, 16), (20, 24))
BATCH = torch.rand(9, 3, 12, 16, generator=torch.Generator().manual_seed(0))


class Blur(torch.nn.Module):
    """A segmenter of any size."""

    def forward(self, batch):
        return {"out": torch.nn.functional.avg_pool2d(batch, 3, 1, 1) * 2}


class Stale:
    """In the first call after a switch, returns its output for the previous size."""

    def __init__(self):
        self.last = self.shape = None

    def __call__(self, batch):
        right = Blur()(batch)
        wrong = self.last if self.shape not in (None, batch.shape) else right
        self.last, self.shape = right, batch.shape
        return wrong


def case(run, sizes=SIZES):
    model = SimpleNamespace(
        name="blur",
        spec=SimpleNamespace(sizes=sizes),
        module=Blur(),
        image_names=tuple(f"{number}.jpg" for number in range(9)),
        first=lambda count: BATCH[:count].clone(),
    )
    twin = SimpleNamespace(
        name="onnxruntime_fp32", run=run, run_device="cpu", tolerance=tolerance("fp32", "calibrated"), sizes_found=None,
        open=lambda size: None,
    )  # fmt: skip
    return model, twin


def test_each_size_follows_each_other_one_once_from_the_optimal_one_on():
    found = check.order(SIZES)
    pairs = list(zip(found, found[1:]))
    assert found[0] == SIZES[1] and len(pairs) == len(set(pairs)) == 6 and all(one != other for one, other in pairs)


def test_a_twin_that_follows_is_measured_once():
    model, twin = case(Blur())
    found = check.of_twin(model, twin)
    row = found.as_dict()
    assert found.agree and check.of_twin(model, twin) is found and row["ok"] and row["max_relative_error"] == 0
    assert row["first_call_after_switch_s"] == max(one["first_call_after_switch_s"] for one in row["switches"]) > 0
    assert [one["size"] for one in row["switches"]] == [[8, 8], [20, 24], [8, 8], [12, 16], [20, 24], [12, 16]]


def test_a_twin_that_does_not_follow_at_once_is_refused():
    found = check.of_twin(*case(Stale()))
    assert not found.agree and found.as_dict()["switches"][0]["first_ok"] is False
    assert found.agree.report("blur x").startswith("blur x, 8×8 after 12×16, first call: out does not agree: got shape")


def test_both_mutants_are_refused_and_the_twin_itself_passes():
    found = {mutant.name: passed for mutant, passed in check.mutants(*case(Blur()))}
    assert found == {UNTOUCHED: True, "the shape of the size before": False, "the data of the size before": False}


def test_models_of_one_size_have_none():
    assert list(check.mutants(*case(Blur(), None))) == []


def test_images_of_another_size_than_the_optimal_one_are_a_fault_of_the_model():
    with pytest.raises(ModelFault, match=r"blur: its images are 12×16 .* optimal size is 12×12"):
        check.of_twin(*case(Blur(), ((8, 8), (12, 12), (20, 24))))
