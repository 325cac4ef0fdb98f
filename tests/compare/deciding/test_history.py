"""A history: its change point, steps within the scatter of its runs, and what only all of its runs can decide."""

from __future__ import annotations

import math

import numpy
import pytest

from fixtures.compare.deciding.gate import REGRESSED, UNDECIDED
from fixtures.compare.deciding.history import find_break, student_quantile
from fixtures.compare.deciding.report import make_report
from fixtures.compare.judging import processes
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.judging.shift import process_spread, shift, twin_s
from fixtures.compare.judging.verdict import UNSURE, WORSE
from fixtures.compare.reading.document import run_of
from fixtures.compare.reading.merge import merge
from fixtures.compare.reading.metrics import LATENCY
from tests.compare.deciding.test_outcomes import on_cpu
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")
LEAST = 0.015


def history(factors, document=data.document):
    """The report on runs in which the twin is slower by these factors."""
    documents = [data.slow_down(document(seed=seed), factor, *TWIN) for seed, factor in enumerate(factors)]
    runs = [run_of(one, f"run-{number}") for number, one in enumerate(documents)]
    return make_report(runs, parse_gate(DEFAULT_FAIL_ON), allow_different=False)


def latency(report):
    (found,) = [one for one in report.comparison.judgements if one.metric is LATENCY and one.name[:2] == TWIN]
    return found


@pytest.mark.parametrize("at", [1, 4, 9])
def test_the_change_point_is_where_the_step_is(at):
    noise = numpy.random.default_rng(at).normal(0, 0.02, 10)
    found = find_break([*noise[:at], *(noise[at:] + 0.3)], LEAST)
    assert (found.at, found.certain) == (at, True)
    assert found.step == pytest.approx(0.3, abs=0.05)


def test_equal_runs_have_no_break():
    random = numpy.random.default_rng(0)
    certain = [find_break(list(random.normal(0, 0.03, 12)), LEAST) for _ in range(300)]
    # 1 % each: the split was chosen as the best of eleven, and the correction is for all of them.
    assert sum(found.certain for found in certain) <= 6
    assert sum(found.chance <= 0.01 for found in certain) <= 3


@pytest.mark.parametrize(("freedom", "value"), [(6, 5.2076), (10, 4.1437), (28, 3.4082)])  # Of a printed table.
def test_students_quantile(freedom, value):
    assert student_quantile(0.999, freedom) == pytest.approx(value, rel=0.02)


@pytest.mark.parametrize(("count", "at"), [(61, 55), (80, 40)])
def test_the_rank_sum_of_a_long_history_is_near_the_exact_one(monkeypatch, count, at):
    values = list(numpy.random.default_rng(3).normal(0, 1, count))
    values[at:] = [value + 0.8 for value in values[at:]]
    approximate = processes.chance(values[:at], values[at:])
    monkeypatch.setattr(processes, "MOST_EXACT", 1000)
    assert approximate == pytest.approx(processes.chance(values[:at], values[at:]), rel=0.2)


def test_a_step_down_is_not_a_break():
    found = find_break([0.3, 0.31, 0.3, 0.0, 0.01, 0.0], LEAST)
    assert (found.certain, found.step < 0) == (False, True)


def test_a_run_that_moves_back_and_forth_is_not_named():
    """Two equal runs of the suite, copied in turn: the old rule named the last of the slow ones."""
    report = history([1.0, 1.6, 0.95, 1.6, 1.0, 1.6])
    assert (latency(report).verdict, report.decision.outcome) == (UNSURE, UNDECIDED)
    assert "scatter by" in latency(report).note
    assert report.first(latency(report)) == ""


def test_a_step_is_dated_within_such_scatter():
    report = history([1.0, 1.05, 0.97, 1.04, 1.6, 1.5, 1.6, 1.55])
    assert latency(report).verdict == WORSE
    assert report.first(latency(report)) == "run-4"


def test_processes_that_differ_are_decided_by_all_runs_before_and_since():
    """One process a side is undecided with several threads; the history is eight a side."""

    def threads(seed):
        return on_cpu(2.0, seed=seed)

    assert latency(history([1.0, 1.5], threads)).verdict == UNSURE
    pace = [1.0, 1.1, 0.95, 1.05] * 2
    report = history([*pace, *(1.5 * one for one in pace)], threads)
    assert (latency(report).verdict, report.decision.outcome) == (WORSE, REGRESSED)
    assert report.first(latency(report)) == "run-8"
    assert "by the 8 runs before run-8 and the 8 since" in latency(report).note
    assert latency(report).change == pytest.approx(0.5, abs=0.05)
    equal = history([*pace, *pace], threads)
    assert latency(equal).verdict != WORSE


@pytest.mark.parametrize(("rebuilt", "verdict"), [(None, WORSE), ([1.01, 0.99], WORSE), ([1.25, 0.8, 1.1], UNSURE)])
def test_the_spread_between_builds_goes_into_the_limit(rebuilt, verdict):
    """--builds: where three builds of one engine are 30 % apart, 12 % between two runs may be the builder's choice."""
    documents = [data.document(), data.slow_down(data.document(seed=1), 1.12, *TWIN)]
    data.benchmark(documents[0], *TWIN)["extra_info"]["rebuilt_ratios"] = rebuilt
    runs = [run_of(one, "run") for one in documents]
    report = make_report(runs, parse_gate(DEFAULT_FAIL_ON), allow_different=False)
    assert latency(report).verdict == verdict


def test_the_spread_between_processes_of_a_run_widens_what_one_process_can_show():
    """A single process compared with a folder is as uncertain as the folder's processes."""
    documents = [data.slow_down(data.document(seed=s), pace, *TWIN) for s, pace in enumerate([0.9, 1.0, 1.1, 1.0])]
    parts = [run_of(one, "part") for one in documents]
    folder, one = merge("folder", parts), run_of(data.document(seed=9), "one")
    (name,) = [name for name in folder.timings if name[:2] == TWIN]
    spread = process_spread(folder.timings[name], twin_s)
    assert spread == pytest.approx(numpy.std(numpy.log([0.9, 1.0, 1.1, 1.0]), ddof=1), abs=0.02)
    assert process_spread(one.timings[name], twin_s) is None
    found = shift(folder.timings[name], one.timings[name], twin_s)
    assert found is not None and math.hypot(spread / 2, spread) * 0.8 < found.error
    alone = shift(parts[1].timings[name], one.timings[name], twin_s)
    assert alone is not None and alone.error < spread / 2
