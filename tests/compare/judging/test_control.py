"""Separating the machine's share from the twin's: the control is eager, and for end-to-end it is decoding."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
import pytest

from fixtures.common.errors import UserError
from fixtures.compare.judging.control import following
from fixtures.compare.judging.judge import judge
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.judging.pair import Pair
from fixtures.compare.judging.shift import eager_s
from fixtures.compare.judging.verdict import BETTER, SAME, UNSURE, WORSE
from fixtures.compare.reading.document import run_of
from fixtures.compare.reading.metrics import LATENCY
from fixtures.compare.reading.run import Blocks, Name, Timing
from tests.helpers import compare_data as data

NAME = Name("resnet18", "tensorrt_fp16", 1, "test_end_to_end")
PILLOW = {"pillow": "11.0.0"}


def judged(twin, decode, after=PILLOW, stable=True, run=None):
    """The judgement if end-to-end took `twin` times as long and decoding `decode` times."""
    base = data.end_to_end(data.document(models=["resnet18"], **PILLOW))
    new = data.end_to_end(data.document(models=["resnet18"], seed=1, **after), twin, decode, run)
    for bench in new["benchmarks"]:
        bench["extra_info"].update(stable=stable, unstable_reason=None if stable else "drifted")
    runs = (run_of(document, label) for document, label in ((base, "base"), (new, "new")))
    return judge(Pair(*runs, parse_gate(DEFAULT_FAIL_ON), False), LATENCY, NAME)


def test_a_machine_that_slowed_down_makes_no_twin_worse():
    found = judged(1.35, 1.4)
    assert found.verdict in (SAME, UNSURE)
    assert "decoding changed by +" in found.note and "due to the machine: judged by the adjusted change" in found.note
    assert found.change == pytest.approx(0.35, abs=0.05) and abs(found.adjusted) < 0.1


def test_a_twin_that_slowed_down_alone_is_worse():
    assert (judged(1.2, 1.0).verdict, judged(1.2, 1.0).note) == (WORSE, "")
    assert judged(0.8, 1.0).verdict == BETTER
    assert judged(1.0, 1.0).verdict == UNSURE, "equal runs differ by more end to end than by the limit"


def test_a_growth_before_the_model_makes_no_twin_worse_and_is_noted():
    found = judged(1.3, 1.0, run=1.0)
    assert found.verdict == UNSURE and "more than half of the growth is before the model" in found.note
    assert judged(1.3, 1.0, run=1.5).verdict == WORSE


def test_a_machine_that_became_faster_hides_no_slow_twin():
    found = judged(1.3, 0.9)
    assert found.verdict == WORSE and "decoding changed by" in found.note


@pytest.mark.parametrize("factor", [1.3, 3.2, 30.0])
def test_a_row_that_the_run_calls_unreliable_is_never_worse(factor):
    found = judged(factor, 1.0, stable=False)
    assert found.verdict == UNSURE and found.undecided
    assert found.note == "unreliable timing, new run: drifted: run again"


@pytest.mark.parametrize("after", [{"pillow": "12.0.0"}, {}])
def test_another_or_unknown_pillow_makes_decoding_no_control(after):
    found = judged(1.35, 1.4, after=after)
    assert found.verdict == WORSE and "so it is not a control: judged unadjusted" in found.note


def test_runs_without_blocks_of_decoding_are_judged_by_the_clock():
    base, new = (data.end_to_end(data.document(models=["resnet18"], seed=seed, **PILLOW), factor)
                 for seed, factor in ((0, 1.0), (1, 1.35)))  # fmt: skip
    for bench in base["benchmarks"]:
        del bench["extra_info"]["blocks_s"]["decode"]
    pair = Pair(run_of(base, "base"), run_of(new, "new"), parse_gate(DEFAULT_FAIL_ON), False)
    found = judge(pair, LATENCY, NAME)
    assert (found.verdict, found.note) == (WORSE, "")


def test_as_many_blocks_of_decoding_as_of_the_twin():
    run = data.end_to_end(data.document(models=["resnet18"]))
    run["benchmarks"][1]["extra_info"]["blocks_s"]["decode"].pop()
    with pytest.raises(UserError, match=r"benchmarks\[1\].*as many blocks of every side as of the twin"):
        run_of(run, "run")


def paced(pace, share, noise=0.01, seed=0, growth=1.0):
    """A timing on a machine whose speed changes from block to block. The twin changes by this share of that."""
    random = numpy.random.default_rng(seed)
    eager = numpy.array(pace) + random.normal(0, noise, len(pace))
    twin = share * numpy.array(pace) + random.normal(0, noise, len(pace)) + math.log(growth)
    return Timing(1.0, 1.0, (Blocks(tuple(numpy.exp(twin)), tuple(numpy.exp(eager))),))


RESTLESS = [0.0, 0.3] * 5
STILL, SLOW = [0.0] * 10, [0.3] * 10


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_runs_in_which_the_pace_changed_tell_how_much_of_it_the_twin_feels(share):
    assert following(eager_s, paced(RESTLESS, share), paced(RESTLESS[::-1], share, seed=1)) == pytest.approx(
        share, abs=0.05
    )


def test_where_the_pace_changed_between_the_runs_alone_the_twin_is_taken_to_feel_all_of_it():
    assert following(eager_s, paced(STILL, 0.4), paced(SLOW, 0.4, seed=1)) > 0.9
    assert following(eager_s, paced(STILL, 0.4, noise=0), paced(STILL, 0.4, noise=0)) == 1.0


@pytest.mark.parametrize("share", [-1.0, 2.0])
def test_no_twin_feels_less_than_nothing_or_more_than_all(share):
    assert following(eager_s, paced(RESTLESS, share), paced(RESTLESS, share, seed=1)) == (0.0 if share < 0 else 1.0)


@pytest.mark.parametrize(("growth", "verdict"), [(1.0, SAME), (1.15, WORSE)])
def test_a_slow_twin_is_found_on_a_machine_whose_speed_changed(growth, verdict):
    run = run_of(data.document(models=["resnet18"], twins=["tensorrt_fp16"]), "run")
    name = next(name for name in run.timings if not name.is_eager)
    often, seldom = [0.0] * 3 + [0.3] * 7, [0.0] * 7 + [0.3] * 3
    base, new = (
        replace(run, timings={**run.timings, name: timing})
        for timing in (paced(seldom, 0.4), paced(often, 0.4, seed=1, growth=growth))
    )
    found = judge(Pair(base, new, parse_gate(DEFAULT_FAIL_ON), False), LATENCY, name)
    assert "judged by the adjusted change" in found.note
    assert found.verdict == verdict or (verdict, found.verdict) == (SAME, UNSURE), found
    assert found.adjusted == pytest.approx(growth - 1, abs=0.06)
    assert found.change == pytest.approx(found.new / found.base - 1)
