"""Tests of calls that change their input in place: each measured call gets the original input."""

from __future__ import annotations

import pytest
import torch

from fixtures.common import inputs
from fixtures.measure.restoring import restoring


@pytest.fixture(params=[1, 2], ids=["one input", "two inputs"])
def batch(request):
    rows = tuple(torch.arange(6.0).reshape(2, 3) + place for place in range(request.param))
    return rows if request.param > 1 else rows[0]


def test_each_call_gets_the_batch_as_it_was(batch):
    original, seen = inputs.copied(batch), []

    def call():
        seen.append(inputs.copied(batch))
        inputs.mapped(batch, lambda tensor: tensor.sub_(0.5).div_(0.5))
        return len(seen)

    assert call() == 1
    restored = restoring(batch, original, call)
    assert [restored(), restored()] == [2, 3]
    assert all(inputs.same(one, original) for one in seen)


def test_an_unchanged_batch_is_not_written(batch):
    def call():
        return None

    assert restoring(batch, inputs.copied(batch), call) is call


def test_a_batch_that_drifted_to_nan_is_restored():
    batch, original = torch.full((1, 2), float("nan")), torch.ones(1, 2)
    assert restoring(batch, original, lambda: batch.sum().item())() == 2
