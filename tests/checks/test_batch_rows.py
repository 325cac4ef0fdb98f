"""Every row of a batch is compared with eager's for that image, unless eager itself depends on the batch."""

from __future__ import annotations

import types

import numpy
import pytest
import torch

from fixtures.checks import batch_rows
from fixtures.tolerances.outputs import TABLE

IMAGES = torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def running(module, depends_on_batch=False):
    """A running model of three images, with only what the check needs, and its twin."""
    rows = numpy.concatenate([module(IMAGES[place : place + 1]).numpy() for place in range(3)])
    model = types.SimpleNamespace(
        module=module,
        image_names=("a", "b", "c"),
        reference={"output": rows},
        depends_on_batch=depends_on_batch,
        example=lambda size: IMAGES[torch.arange(size) % min(size, 3)],
    )
    twin = types.SimpleNamespace(name="mine_fp32", tolerance=TABLE["fp32", "trained"], run_device="cpu")
    return model, twin


class Plain(torch.nn.Module):
    def forward(self, batch):
        return batch.flatten(1)


class LargeBatchesDiffer(torch.nn.Module):
    def forward(self, batch):
        return batch.flatten(1) * (1 if len(batch) < 4 else 2)


def first_row_alone(rows):
    return numpy.concatenate([rows[:1], numpy.zeros_like(rows[1:])])


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("wrong", [first_row_alone, lambda rows: numpy.roll(rows, 1, axis=0)])
def test_rows_that_are_not_those_of_their_images_are_refused(size, wrong):
    model, twin = running(Plain())
    right = model.example(size).flatten(1).numpy()
    assert batch_rows.judged(model, twin, size, {"output": right}).ok
    assert not batch_rows.judged(model, twin, size, {"output": wrong(right)})


@pytest.mark.parametrize(
    "model, name, size",
    [
        (running(Plain()), "mine_fp32", 1),
        (running(Plain()), "eager_fp32", 4),
        (running(Plain(), depends_on_batch=True), "mine_fp32", 4),
        (running(LargeBatchesDiffer()), "mine_fp32", 4),
    ],
    ids=["one image", "eager", "known dependence", "dependence of this size alone"],
)
def test_nothing_is_judged_where_rows_have_no_reference(model, name, size):
    running_model, twin = model
    twin.name = name
    outputs = {"output": running_model.module(running_model.example(size)).numpy() * 3}
    assert batch_rows.judged(running_model, twin, size, outputs) is None


def test_a_batch_size_at_which_eager_is_itself_is_judged():
    model, twin = running(LargeBatchesDiffer())
    assert batch_rows.judged(model, twin, 3, {"output": 2 * model.example(3).flatten(1).numpy()}).ok is False
