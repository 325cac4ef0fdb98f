"""Tests of steady calls and openings with a fake clock: how many, when memory is sampled, and what is kept."""

from __future__ import annotations

import pytest

from fixtures.measure.field import soak
from fixtures.measure.field.soak import KEPT_CALLS, SAMPLES, Reading, columns, reopened, steady

READING = Reading(1, None, None, None, None)


class Machine:
    """A clock that only calls advance: each takes `call_s`, and a sample `read_s`."""

    def __init__(self, call_s, read_s=0.0):
        self.now, self.call_s, self.read_s, self.calls, self.read_at = 0.0, call_s, read_s, 0, []

    def clock(self):
        return self.now

    def call(self):
        self.now += self.call_s
        self.calls += 1

    def read(self):
        self.read_at.append(self.calls)
        self.now += self.read_s
        return READING


def soaked(machine, seconds):
    return steady(machine.call, seconds, machine.read, clock=machine.clock)


@pytest.mark.parametrize("call_s", [1e-4, 0.02, 0.3])
def test_calls_go_on_for_the_time_and_are_sampled_from_the_first_to_the_last(call_s):
    machine = Machine(call_s)
    samples = soaked(machine, 60)
    assert machine.now == pytest.approx(60, abs=2 * max(call_s, 60 / SAMPLES))
    assert [sample.calls for sample in samples] == machine.read_at and machine.read_at[0] == 0
    assert samples[-1].calls == machine.calls and len(samples) == pytest.approx(SAMPLES, abs=SAMPLES / 5)
    assert samples[0].latency_s is None and samples[-1].latency_s == pytest.approx(call_s, rel=1e-6)


def test_a_call_that_takes_longer_than_the_soak_is_made_once():
    samples = soaked(Machine(100), 60)
    assert [sample.calls for sample in samples] == [0, 1]


def test_a_short_soak_is_not_sampled_more_often_than_the_calls_allow():
    machine = Machine(0.001, read_s=0.01)
    samples = soaked(machine, 2)
    assert len(samples) <= 2 / soak.SHORTEST_INTERVAL_S + 1
    assert machine.calls * machine.call_s >= 0.85 * machine.now, "samples must not take the time of the calls"


def test_latency_is_of_the_latest_calls_only(monkeypatch):
    machine = Machine(1e-5)
    plain = machine.call

    def slower_and_slower():
        machine.call_s = 1e-5 if machine.calls % 50_000 < 25_000 else 3e-5
        plain()

    machine.call = slower_and_slower
    samples = steady(machine.call, 60, machine.read, clock=machine.clock)
    assert {round(sample.latency_s, 6) for sample in samples[1:]} <= {1e-5, 2e-5, 3e-5}
    assert KEPT_CALLS < 25_000


def test_progress_is_reported_with_every_sample():
    machine, seen = Machine(0.02), []
    samples = steady(machine.call, 5, machine.read, lambda at_s, calls: seen.append((at_s, calls)), machine.clock)
    assert [calls for _, calls in seen] == [sample.calls for sample in samples[1:]]


def test_openings_stop_at_their_number_or_at_their_time():
    quick, slow = Machine(0.1), Machine(2.0)
    assert [s.calls for s in reopened(quick.call, 100, 60, quick.read, quick.clock)] == list(range(101))
    assert [s.calls for s in reopened(slow.call, 100, 60, slow.read, slow.clock)] == list(range(32))


def test_columns_have_a_list_for_each_field():
    machine = Machine(0.02)
    found = columns(soaked(machine, 1))
    assert set(found) == {
        "at_s", "calls", "latency_s", "host_bytes", "device_bytes", "hottest_c", "cpu_hz", "gpu_clock_hz",
    }  # fmt: skip
    assert found["calls"] == machine.read_at and found["host_bytes"] == [1] * len(machine.read_at)
