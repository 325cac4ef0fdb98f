"""fixtures/compare judges numbers: blocks, limits, verdicts."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.common.errors import UserError
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, DEFAULTS, parse_gate
from fixtures.compare.judging.shift import Shift, eager_s, shift, twin_s, twin_to_eager
from fixtures.compare.judging.verdict import BETTER, SAME, UNSURE, WORSE, of_numbers, of_shift
from fixtures.compare.reading.metrics import SCALARS
from fixtures.compare.reading.run import Blocks, Timing

LIMITS = parse_gate(DEFAULT_FAIL_ON).limits
MIB = 2**20
METRICS = {metric.key: metric for metric in SCALARS}


def timing(seed: int, scatter: float = 0.02, twin: float = 1.0, eager: float = 1.0, invocations: int = 1) -> Timing:
    """Ten pairs of blocks that scatter together by `scatter` and apart by a fifth of it."""
    noise = numpy.random.default_rng(seed)
    parts = []
    for _ in range(invocations):
        machine = noise.normal(0, scatter, 10)
        twin_blocks, eager_blocks = (
            factor * numpy.exp(machine + noise.normal(0, scatter / 5, 10)) for factor in (0.002 * twin, 0.01 * eager)
        )
        parts.append(Blocks(tuple(twin_blocks), tuple(eager_blocks)))
    return Timing(0.002 * twin, 5 * eager / twin, tuple(parts))


def test_a_shift_is_found_with_its_interval():
    found = shift(timing(0), timing(1, twin=1.1), twin_to_eager)
    assert found.log == pytest.approx(math.log(1.1), abs=0.02)
    assert found.low < math.log(1.1) < found.high
    assert shift(timing(0), timing(1, eager=1.1), eager_s).log == pytest.approx(math.log(1.1), abs=0.05)


def test_a_shift_is_the_same_twice_and_of_a_run_with_itself_none():
    assert shift(timing(0), timing(1), twin_s) == shift(timing(0), timing(1), twin_s)
    assert shift(timing(0), timing(0), twin_s).log == 0
    # The numbers are the same, but another run would have given different ones.
    assert shift(timing(0), timing(0), twin_s).error > 0.01


def test_the_same_shift_is_reckoned_once():
    """Otherwise two runs of 100 cases take seconds, most of it for what is already known."""
    shift.cache_clear()
    assert shift(timing(0), timing(1), twin_s) is shift(timing(0), timing(1), twin_s)


def test_pairs_cancel_what_changed_both_sides():
    base, new = timing(0, scatter=0.2), timing(1, scatter=0.2, twin=1.5, eager=1.5)
    assert abs(shift(base, new, twin_to_eager).log) < 0.08
    assert shift(base, new, twin_s).log > 0.2


def test_one_wild_block_moves_nothing():
    base, new = timing(0, scatter=0.01), timing(1, scatter=0.01)
    wild = Blocks((*new.invocations[0].twin[:9], 5.0), new.invocations[0].eager)
    assert abs(shift(base, Timing(0.002, 5.0, (wild,)), twin_s).log) < 0.03


def test_more_invocations_make_the_interval_narrower():
    one, many = (shift(timing(0, invocations=n), timing(1, invocations=n), twin_s) for n in (1, 8))
    assert many.error < one.error / 1.8


def test_invocations_that_disagree_make_the_interval_wider():
    steady = timing(0, scatter=0.005, invocations=4)
    parts = [
        Blocks(tuple(block * factor for block in blocks.twin), blocks.eager)
        for blocks, factor in zip(steady.invocations, (0.8, 1.0, 1.0, 1.25))
    ]
    torn = Timing(0.002, 5.0, tuple(parts))
    assert shift(steady, torn, twin_s).error > 3 * shift(steady, steady, twin_s).error


def test_a_file_without_rounds_is_judged_by_its_quartiles_and_one_without_them_not_at_all():
    summary = Timing(0.0022, None, (), error=0.02)
    found = shift(timing(0), summary, twin_s)
    assert found.log == pytest.approx(math.log(1.1), abs=0.03)
    assert found.error > 0.02
    assert shift(timing(0), summary, twin_to_eager) is None
    assert shift(timing(0), Timing(0.0022, None, ()), twin_s) is None
    assert (
        shift(timing(0), Timing(0.002, None, (Blocks((0.002, 0.002), ()),)), twin_s) is None
    )  # Two blocks prove nothing.


@pytest.mark.parametrize(
    ("percent", "error", "cases", "expected"),
    [
        (0, 0.01, 1, SAME),
        (4, 0.001, 1, SAME),
        (6, 0.001, 1, WORSE),
        (-6, 0.001, 1, BETTER),
        (4, 0.02, 1, UNSURE),
        (0, 0.04, 1, UNSURE),
        (10, 0.02, 1, WORSE),
        (10, 0.05, 1, UNSURE),
        (8, 0.025, 1, WORSE),
        (8, 0.025, 100, UNSURE),
    ],
)
def test_verdict_on_a_shift(percent, error, cases, expected):
    log = math.log1p(percent / 100)
    found = Shift(log, log - 1.96 * error, log + 1.96 * error, error)
    assert of_shift(found, LIMITS["latency"], cases) == expected


def test_a_change_at_the_limit_is_the_same():
    limit = LIMITS["latency"]
    at = math.log1p(limit.amount)
    assert of_shift(Shift(0.0, -at, at, 0.01), limit, 1) == SAME
    assert of_shift(Shift(at, at, at, 1e-9), limit, 1) == SAME
    assert of_shift(Shift(-at, -at, -at, 1e-9), limit, 1) == SAME


def test_no_number_of_cases_makes_a_false_alarm_more_likely():
    """Two equal runs of 1, 10 or 100 cases: the largest of their shifts is called WORSE in at most 1 % of all runs."""
    noise = numpy.random.default_rng(0)
    for cases in (1, 10, 100):
        logs = noise.normal(0, 0.03, (3000, cases)).max(axis=1)
        alarms = [of_shift(Shift(log, 0, 0, 0.03), LIMITS["latency"], cases) == WORSE for log in logs]
        assert sum(alarms) / 3000 < 0.015


@pytest.mark.parametrize(
    ("key", "base", "new", "expected"),
    [
        ("host_run_peak_bytes", 100 * MIB, 109 * MIB, SAME),
        ("host_run_peak_bytes", 100 * MIB, 111 * MIB, WORSE),
        ("host_run_peak_bytes", 100 * MIB, 120 * MIB, WORSE),
        ("host_run_peak_bytes", 111 * MIB, 100 * MIB, BETTER),
        ("device_run_peak_bytes", 0, MIB, SAME),
        ("device_run_peak_bytes", 0, MIB + 1, WORSE),
        ("device_run_peak_bytes", 2 * MIB, 3 * MIB, SAME),
        ("device_build_peak_bytes", 2 * MIB, 4 * MIB, WORSE),
        ("device_run_peak_bytes", 0, 0, SAME),
        ("max_relative_error", 1e-6, 1.9e-6, SAME),
        ("max_relative_error", 1e-6, 3e-6, WORSE),
        ("max_relative_error", 3e-6, 1e-6, BETTER),
        ("max_relative_error", 0, 1e-8, SAME),
        ("max_relative_error", 0, 1e-6, WORSE),
        ("max_relative_error", 1e-6, None, WORSE),
        ("max_relative_error", None, 1e-6, BETTER),
        ("max_relative_error", None, None, SAME),
        ("iou_error", 0, 9e-5, SAME),
        ("iou_error", 1e-4, 3e-4, WORSE),
        ("max_drift", 1e-4, 1.4e-4, SAME),
        ("mask_error", 0, 1e-3, WORSE),
        ("unmatched", 0, 1, WORSE),
        ("refused", 1, 0, BETTER),
        ("top1_changed", 0, 0, SAME),
        ("top1_changed", 0, 1, WORSE),
        ("top1_changed", 2, 1, BETTER),
        ("accuracy_top1", 0.75, 0.745, SAME),
        ("accuracy_top1", 0.75, 0.74, SAME),
        ("accuracy_top1", 0.75, 0.73, WORSE),
        ("accuracy_top1", 0.73, 0.75, BETTER),
        ("build_s", 40, 59, SAME),
        ("build_s", 40, 61, WORSE),
        ("engine_bytes", 100, 89, BETTER),
    ],
)
def test_verdict_on_two_numbers(key, base, new, expected):
    metric = METRICS[key]
    assert of_numbers(metric, base, new, LIMITS[metric.gate]) == expected


@given(st.sampled_from(SCALARS), st.floats(0, 1e12), st.floats(0, 1e12))
def test_worse_one_way_is_better_the_other(metric, base, new):
    mirror = {WORSE: BETTER, BETTER: WORSE, SAME: SAME}
    there = of_numbers(metric, base, new, LIMITS[metric.gate])
    assert of_numbers(metric, new, base, LIMITS[metric.gate]) == mirror[there]


@given(st.floats(-1, 1), st.floats(0.001, 0.3), st.integers(1, 100))
def test_a_larger_growth_is_never_judged_milder(log, error, cases):
    order = [BETTER, SAME, UNSURE, WORSE]
    limit = LIMITS["latency"]
    words = [
        of_shift(Shift(at, at - 1.96 * error, at + 1.96 * error, error), limit, cases)
        for at in (abs(log), abs(log) + 0.1)
    ]
    assert order.index(words[0]) <= order.index(words[1])


def test_the_default_gate():
    gate = parse_gate(DEFAULT_FAIL_ON)
    assert gate.fails_on == {"latency", "gpu", "memory", "error", "top1", "accuracy", "missing"}
    assert {name: limit.text for name, limit in gate.limits.items()} == {
        name: text for name, (text, _) in DEFAULTS.items()
    }


@pytest.mark.parametrize(
    ("text", "name", "amount"),
    [
        ("latency:2.5%", "latency", 0.025),
        ("memory:1.5x", "memory", 0.5),
        ("error:300%", "error", 3.0),
        ("top1:2", "top1", 2),
        ("accuracy:0.5pt", "accuracy", 0.005),
        ("speedup:10%, missing", "speedup", 0.1),
    ],
)
def test_limits_are_read(text, name, amount):
    gate = parse_gate(text)
    assert gate.limits[name].amount == pytest.approx(amount)
    assert name in gate.fails_on


def test_a_name_without_a_limit_takes_its_default_and_none_gates_nothing():
    assert parse_gate("memory").limits["memory"].amount == pytest.approx(0.1)
    assert parse_gate("none").fails_on == set()


@pytest.mark.parametrize(
    "text",
    ["latncy:5%", "latency:fast", "latency:5", "latency:-5%", "latency:5pt", "error:0.5x", "top1:1%", "accuracy:1", "",
     "missing:1", "latency:", "latency:5%%", "latency:1e9%", "latency:nan%", "memory:10%,,error",
     "latency:5%,latency:9%"],
)  # fmt: skip
def test_a_wrong_gate_is_one_line_with_the_remedy(text):
    with pytest.raises(UserError, match="^--fail-on: .*(write|known are)") as raised:
        parse_gate(text)
    assert "\n" not in str(raised.value)
