"""Tests of latency: a fake clock shows what is timed, what is discarded, and when the rules stop."""

from __future__ import annotations

import math
import types

import pytest

from fixtures.checks.benchmark import rounds_options
from fixtures.judge.stability import unstable_blocks, unstable_calls
from fixtures.measure import latency
from fixtures.measure.latency import PairedBlocks, Plan, extra_info, plan, speed_up, summarise, timed, warm_up


class Clock:
    """A clock that only calls advance."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def call(self, *seconds: float):
        """A call that takes these seconds in turn, then the last one forever."""
        left = list(seconds)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_timed_reads_the_clock_around_each_call():
    clock = Clock()
    assert timed(clock.call(1.0, 2.0, 3.0), 3, clock) == [1.0, 2.0, 3.0]


def test_warm_up_ends_when_successive_blocks_agree():
    clock = Clock()
    warm = warm_up(clock.call(9.0, 5.0, 1.0, *[1.0] * 6), limit_s=1e9, clock=clock)
    assert (warm.call_s, warm.calls, warm.ended_by) == (1.0, 9, "successive blocks agreed")


def test_warm_up_of_a_call_that_never_settles_ends_at_its_limit():
    clock = Clock()
    seconds = [1.1**index for index in range(1000)]
    warm = warm_up(clock.call(*seconds), limit_s=50.0, clock=clock)
    assert warm.ended_by == "limit of 50 s" and warm.calls == 18
    assert clock.now <= 50.0 < clock.now + 3 * seconds[warm.calls], "another three calls would exceed it"


def test_five_percent_between_blocks_is_the_limit():
    clock = Clock()
    assert warm_up(clock.call(*[1.0] * 3, *[1.05] * 3, 1.2), 1e9, clock).calls == 6
    clock = Clock()
    assert warm_up(clock.call(*[1.0] * 3, *[1.06] * 3, *[1.06] * 3), 1e9, clock).calls == 9


@pytest.mark.parametrize(
    "call_s, eager_s, expected",
    [
        (0.010, None, Plan(10, 10, 0)),  # 1 s of 10 ms
        (0.100, None, Plan(10, 3, 0)),  # at least 30 rounds
        (0.010, 0.020, Plan(10, 10, 3)),  # the control does with half the time
        (0.155, 0.222, Plan(10, 3, 1)),  # and with a third of the rounds
        (0.450, 0.050, Plan(10, 2, 1)),  # 15 s: the control gives way first, from two calls a block to one
    ],
)
def test_rounds_follow_the_time_budget(call_s, eager_s, expected):
    assert plan(call_s, eager_s) == expected


def test_a_slow_case_stays_within_its_limit():
    slow = plan(2.0, 3.0)
    assert slow == Plan(3, 1, 1), "fewer than three blocks say nothing"
    assert plan(0.5, None).rounds == 30
    assert plan(1.0, None) == Plan(10, 1, 0)
    assert plan(0.6, 0.9) == Plan(5, 1, 1)


def test_user_rounds_and_time_are_kept():
    assert plan(0.1, None, min_rounds=50).rounds == 50
    assert plan(0.01, None, max_time_s=5.0).rounds == 500


@pytest.mark.parametrize(
    "min_rounds, max_time_s, expected",
    [
        (5, 1.0, (30, 1.0, 15.0)),  # pytest-benchmark's defaults
        (5, 0.1, (30, 0.1, 15.0)),  # less time is no reason to take longer
        (1000, 1.0, (1000, 1.0, math.inf)),
        (5, 60.0, (30, 60.0, math.inf)),
    ],
)
def test_the_limit_of_a_case_gives_way_to_the_users_own_word(min_rounds, max_time_s, expected):
    options = {"benchmark_min_rounds": min_rounds, "benchmark_max_time": max_time_s}
    assert rounds_options(types.SimpleNamespace(getoption=options.get)) == expected


def test_without_a_limit_all_requested_rounds_run():
    assert plan(0.1, 0.1, min_rounds=1000, case_limit_s=math.inf) == Plan(10, 100, 34)
    assert plan(0.1, 0.2, max_time_s=60.0, case_limit_s=math.inf) == Plan(10, 60, 15)
    assert plan(0.1, 0.1, min_rounds=1000).rounds < 1000, "the default's limit"


def test_blocks_alternate_and_the_first_call_after_a_switch_is_thrown_away():
    clock, order = Clock(), []

    def call(name, seconds):
        def run():
            order.append(name)
            clock.now += seconds.pop(0)

        return run

    # The first call of each side after a switch takes 100 s: it may show up nowhere.
    eager = call("eager", [100, 2, 2, 100, 2, 2])
    twin = call("twin", [100, 1, 1, 1, 100, 1, 1, 1])
    settled = []
    sides = (twin, lambda: settled.append(1)), (eager, lambda: None)
    blocks = PairedBlocks(Plan(2, 3, 2), *sides, clock, wait=lambda: order.append("wait"))
    twin_s = []
    for _ in range(6):
        blocks.setup()
        twin_s += timed(twin, 1, clock)
    assert blocks.eager_s == [2, 2, 2, 2] and twin_s == [1] * 6
    assert order == (["wait"] + ["eager"] * 3 + ["wait"] + ["twin"] * 4) * 2, "the other side's threads must be idle"
    assert len(settled) == 6, "the device must be idle before every timed round"


def test_without_a_control_setup_only_settles():
    settled = []
    blocks = PairedBlocks(Plan(1, 2, 0), (pytest.fail, lambda: settled.append(1)), None)
    blocks.setup(), blocks.setup()
    assert len(settled) == 2 and blocks.eager_s == []


def test_summary_of_known_seconds():
    plan_ = Plan(10, 10, 1)
    figures = summarise([index / 100 for index in range(1, 101)], [1.0] * 10, plan_)
    assert figures.p50_s == pytest.approx(0.505) and figures.p90_s == pytest.approx(0.901)
    assert figures.p95_s == pytest.approx(0.9505) and figures.p99_s == pytest.approx(0.9901)
    assert figures.twin_blocks_s[0] == pytest.approx(0.055) and len(figures.twin_blocks_s) == 10
    assert figures.eager_blocks_s == (1.0,) * 10


def test_p99_needs_a_hundred_rounds():
    assert summarise([1.0] * 99, [], Plan(9, 11, 0)).p99_s is None
    assert summarise([1.0] * 100, [], Plan(10, 10, 0)).p99_s == 1.0


def test_speed_up_of_a_drifting_machine_is_that_of_the_pairs():
    drift = [1.0 + 0.1 * index for index in range(10)]
    ratio, (low, high) = speed_up([0.5 * value for value in drift], drift)
    assert ratio == pytest.approx(2.0) and low == pytest.approx(2.0) and high == pytest.approx(2.0)


def test_speed_up_interval_holds_the_ratio_and_is_wider_for_noisier_blocks():
    quiet = speed_up([1.0, 1.01, 0.99, 1.0, 1.02] * 2, [2.0] * 10)
    noisy = speed_up([1.0, 1.2, 0.8, 1.1, 0.9] * 2, [2.0] * 10)
    assert quiet[1][0] <= quiet[0] <= quiet[1][1]
    assert noisy[1][1] - noisy[1][0] > quiet[1][1] - quiet[1][0]


def test_an_eager_row_has_no_speed_up():
    figures = summarise([1.0] * 30, [], Plan(10, 3, 0))
    assert figures.speedup is None and figures.speedup_ci95 is None and figures.eager_blocks_s is None


@pytest.mark.parametrize(
    "blocks, expected",
    [
        ([1.0] * 10, None),
        ([1.0, 1.05, 0.95, 1.02, 0.98] * 2, None),
        ([1.0, 1.0, 1.0, 1.05, 1.05, 1.05, 1.05, 1.14, 1.14, 1.14], None),
        ([1.0, 1.0, 1.0, 1.05, 1.05, 1.05, 1.05, 1.2, 1.2, 1.2], "drifted by +20%"),
        ([1.2, 1.2, 1.2, 1.05, 1.05, 1.05, 1.05, 1.0, 1.0, 1.0], "drifted by -17%"),
        ([1.0, 1.0, 1.0, 1.0, 1.0, 1.25, 1.25, 1.25, 1.25, 1.25], "drifted by +25%"),
        ([1.0, 1.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], None),
        ([1.0, 1.0, 2.0, 1.0, 1.5, 2.0, 1.5, 1.0, 1.0, 2.0], "scattered by"),
        ([1.0, 1.0], "only 2 blocks"),
    ],
)
def test_instability_is_named(blocks, expected):
    reason = unstable_blocks(blocks)
    assert reason is None if expected is None else reason.startswith(expected)


def test_an_unsteady_control_is_named():
    eager = [1.0] * 15 + [2.0] * 15
    assert unstable_calls(summarise([1.0] * 30, eager, Plan(10, 3, 3))) == "eager drifted by +100%"


def test_on_a_gpu_an_unsteady_eager_says_nothing_of_the_twin():
    eager = [1.0] * 15 + [2.0] * 15
    assert unstable_calls(summarise([1.0] * 30, eager, Plan(10, 3, 3)), eager_is_control=False) is None
    assert unstable_calls(summarise(eager, eager, Plan(10, 3, 3)), eager_is_control=False) == "drifted by +100%"


def test_fewer_rounds_than_thirty_are_reported():
    assert unstable_calls(summarise([1.0] * 29, [], Plan(29, 1, 0))) == "only 29 rounds"
    assert unstable_calls(summarise([1.0] * 30, [], Plan(10, 3, 0))) is None


def test_frames_per_second_are_those_of_the_whole_batch():
    figures = summarise([0.010] * 95 + [0.040] * 5, [], Plan(10, 10, 0))
    assert extra_info(figures, 8)["throughput_fps"] == pytest.approx(800)


def test_constants_say_what_the_documents_say():
    assert (latency.MIN_ROUNDS, latency.CASE_LIMIT_S, latency.ROUNDS_FOR_P99) == (30, 15.0, 100)
    assert math.isclose(latency.BLOCKS * 3, latency.MIN_ROUNDS)
