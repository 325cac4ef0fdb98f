"""Tests of the check of streams, on contexts that share what each must have of its own."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from fixtures import backends
from fixtures.backends import eager
from fixtures.checks.field import streams as check
from fixtures.checks.repeatability import scales
from fixtures.judge.field.streams import streams_agree
from fixtures.judge.repeatability import Repeatability
from fixtures.measure.field import streams
from fixtures.mutants.outputs import UNTOUCHED

BATCH = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
STEADY = Repeatability(True, 21, 1, 0.0, 1e-3, 0.2)


def right(batch):
    return batch.flatten(1) * 2


class OneBuffer:
    """Contexts of one class-wide output buffer."""

    buffer = torch.zeros(1, 48)

    def __call__(self, batch):
        return self.buffer.copy_(right(batch))


class OneScratch:
    """Contexts with outputs of their own but one scratch memory, which the next call overwrites halfway."""

    scratch = torch.zeros(1, 48)

    def __call__(self, batch):
        self.scratch.copy_(batch.flatten(1))
        time.sleep(0.002)
        return self.scratch * 2


class First:
    """A further context that keeps the output of its first call."""

    def __init__(self):
        self.kept = None

    def __call__(self, batch):
        self.kept = right(batch) if self.kept is None else self.kept
        return self.kept


def model(images=6):
    return SimpleNamespace(
        name="small",
        image_names=tuple(f"{number}.jpg" for number in range(images)),
        first=lambda count: BATCH[:images][:count].clone(),
        example=lambda count: BATCH[:count].clone(),
        reference={"output": right(BATCH).numpy()},
        session=SimpleNamespace(settings=SimpleNamespace(streams=(1, 4))),
    )


def judged(runs, images=6):
    serial = check.serial_calls(right, model(images), len(runs))
    calls = check.judged_calls([streams.stream(run, "cpu") for run in runs], serial)
    return streams_agree(serial.outputs, calls, serial.names, scales(model().reference), STEADY)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_contexts_of_their_own_pass_at_once_and_alone(count):
    found = judged([right] * count)
    assert found and found.calls == count * (check.ALONE_CALLS + 2 * check.CALLS) and found.images == count + 1


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("broken", [OneBuffer, OneScratch])
def test_contexts_that_share_memory_are_refused(broken, count):
    found = judged([broken() for _ in range(count)])
    assert not found and not found.alone and found.differing > 0


def test_a_shared_buffer_is_seen_with_a_single_image_by_its_mirror_image():
    assert not judged([OneBuffer(), OneBuffer()], images=1) and judged([right, right], images=1)


def test_a_single_context_with_a_fixed_buffer_is_right():
    assert judged([OneBuffer()])


def test_a_context_that_is_wrong_alone_is_not_reported_as_a_race():
    found = judged([right, First()])
    assert not found and found.alone and "stream 2, alone" in found.where


@pytest.fixture
def twin(monkeypatch):
    """A loaded eager twin of a small module."""
    module = torch.nn.Flatten().eval()
    run = eager.EagerTwin(module)
    monkeypatch.setattr(check, "of_twin", lambda model, twin: STEADY)
    return SimpleNamespace(name="eager_fp32", run=run, run_device="cpu", open=lambda size: None)


def test_the_mutant_of_a_real_twin_is_refused_and_the_twin_itself_passes(twin):
    found = {mutant.name: passed for mutant, passed in check.mutants(model(), twin)}
    assert found == {UNTOUCHED: True, "one output buffer for all streams": False}


def test_a_mutant_that_cannot_show_is_left_out(twin):
    twin.run = eager.EagerTwin(lambda batch: torch.zeros(1, 48))
    found = {mutant.name: passed for mutant, passed in check.mutants(model(), twin)}
    assert found == {UNTOUCHED: True, "one output buffer for all streams": None}


def test_mutants_are_tried_only_with_several_streams(twin):
    alone = model()
    for asked in ((), (1,)):
        alone.session.settings.streams = asked
        assert list(check.mutants(alone, twin)) == []


def test_a_backend_without_streams_says_why(monkeypatch, twin):
    assert check.not_offered(twin) == ""
    monkeypatch.setattr(backends.TWINS["eager_fp32"].module, "another_context", None)
    monkeypatch.setattr(backends.TWINS["eager_fp32"].module, "NO_STREAMS", "it has one context")
    assert check.not_offered(twin) == "eager_fp32 has no streams: it has one context"
    assert list(check.mutants(model(), twin)) == []


def test_further_contexts_are_closed_and_the_twin_is_not(monkeypatch, twin):
    closed = []
    made = SimpleNamespace(close=lambda: closed.append(1))
    monkeypatch.setattr(backends.TWINS["eager_fp32"].module, "another_context", lambda run, example: made)
    with pytest.raises(ValueError), check.contexts(model(), twin, 3) as runs:
        assert runs == [twin.run, made, made] and closed == []
        raise ValueError
    assert closed == [1, 1] and twin.run.model is not None
