"""Tests of the repeatability check, on twins with the kinds of races that engines have shown."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest
import torch

from fixtures.checks import repeatability
from fixtures.judge.agreement import agree_all
from fixtures.judge.repeatability import CALLS
from fixtures.plugins.summary import repeatability_lines
from fixtures.run.record import Record
from fixtures.tolerances.outputs import tolerance

NAMES = tuple(f"{number}.jpg" for number in range(6))
BATCH = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def right(batch):
    return batch.flatten(1) * 2


class Late:
    """Returns the previous call's output."""

    def __init__(self):
        self.last = torch.zeros(1, 48)

    def __call__(self, batch):
        before, self.last = self.last, right(batch)
        return before


class EveryFifth:
    """One call in five is off by a hundredth of the scale; top-1 stays the same."""

    def __init__(self):
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        return right(batch) * (1.01 if self.calls % 5 == 0 else 1)


class HalfDone:
    """One buffer for all calls, copied before its last third is written."""

    def __init__(self):
        self.buffer = torch.zeros(1, 48)

    def __call__(self, batch):
        self.buffer[:, :32] = right(batch)[:, :32]
        seen = self.buffer.clone()
        self.buffer[:] = right(batch)
        return seen


def case(run, precision="fp16", images=6):
    """A model of six images, and a twin whose outputs are those of a pass over them, image by image."""
    outputs = numpy.concatenate([run(row).numpy() for row in BATCH[:images].split(1)])
    model = SimpleNamespace(
        name="small",
        image_names=NAMES[:images],
        reference={"output": right(BATCH[:images]).numpy()},
        first=lambda count: BATCH[:images][:count],
    )
    twin = SimpleNamespace(
        name="x_fp16",
        outputs={"output": outputs},
        tolerance=tolerance(precision, "calibrated"),
        open=lambda size: None,
        run=run,
        repeatability=None,
        second_repeatability=None,
    )
    return model, twin


def test_a_twin_that_repeats_itself_passes_in_the_calls_that_it_takes_and_is_measured_once():
    asked = []
    model, twin = case(lambda row: asked.append(row) or right(row))
    found = repeatability.of_twin(model, twin)
    further = 6 - repeatability.IMAGES
    assert found and found.bit_equal and found.calls == 6 + CALLS + further and found.race_share < 0.2
    assert repeatability.of_twin(model, twin) is found and len(asked) == 6 + CALLS + further


class Once:
    """A single call goes wrong, of the third image in the pass over all images."""

    def __init__(self):
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        return right(batch) * (1.1 if self.calls == 3 else 1)


@pytest.mark.parametrize("racing", [Late, EveryFifth, HalfDone, Once])
def test_a_twin_that_races_is_refused_and_its_other_verdicts_say_so_first(racing):
    model, twin = case(racing())
    found = repeatability.of_twin(model, twin)
    assert not found and found.distinct > 1
    wrong = agree_all({"output": twin.outputs["output"] * 2}, model.reference, twin.tolerance, model.image_names)
    first_line = wrong.report(repeatability.title(model, twin, wrong)).splitlines()[0]
    assert first_line.startswith(f"small x_fp16 varies from call to call ({found}): output does not agree")


def test_verdicts_on_a_twin_that_repeats_itself_and_those_that_pass_have_the_plain_title():
    model, twin = case(right)
    assert repeatability.title(model, twin, False) == "small x_fp16"
    model, twin = case(EveryFifth())
    assert repeatability.title(model, twin, True) == "small x_fp16" and twin.repeatability is None


def test_a_single_image_is_enough_for_a_race():
    assert not repeatability.of_twin(*case(EveryFifth(), images=1)) and repeatability.of_twin(*case(right, images=1))


def test_a_slow_model_gets_fewer_calls_and_the_row_says_which_race_they_find(monkeypatch):
    monkeypatch.setattr(repeatability, "LIMIT_S", 0.0)
    found = repeatability.of_twin(*case(right))
    calls = repeatability.FEWEST_CALLS + repeatability.IMAGES
    assert found and found.calls == calls and found.race_share == pytest.approx(1 - 0.01 ** (1 / calls))


def test_the_summary_names_what_varies_and_a_second_engine_that_does():
    record = Record()
    steady, racing = (repeatability.of_twin(*case(run)).as_dict() for run in (right, EveryFifth()))
    assert repeatability_lines(record) == []
    record.add("repeatability", "small", "eager_fp32", **steady, rebuilt=None)
    assert repeatability_lines(record) == [" repeatability: the same bits in every call, in 1 case"]
    record.add("repeatability", "small", "x_fp16", **steady, rebuilt=racing)
    (line,) = repeatability_lines(record)
    assert line.startswith(" small x_fp16, built a second time, varies: 2 different outputs of one image in 31 calls, ")
    assert line.endswith("above the limit of 4.0e-03")
