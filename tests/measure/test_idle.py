"""Tests of waiting for idle threads: fake clocks show when it ends, and a real thread is noticed."""

from __future__ import annotations

import threading

import pytest

from fixtures.measure import idle


def waited(*shares):
    """(steps waited, whether it got idle) if the process uses these shares of a core in turn, the last one forever."""
    now, left, steps = [0.0, 0.0], list(shares), []

    def sleep(seconds):
        steps.append(seconds)
        share = left.pop(0) if len(left) > 1 else left[0]
        now[0] += seconds
        now[1] += share * seconds

    rested = idle.wait_until_idle(lambda: now[0], lambda: now[1], sleep)
    return len(steps), rested


@pytest.mark.parametrize("shares, steps", [((0.0,), 1), ((1.0, 0.5, 0.11, 0.09), 4), ((2.0, 0.0), 2)])
def test_it_ends_as_soon_as_nothing_spins(shares, steps):
    assert waited(*shares) == (steps, True)


def test_threads_that_never_rest_are_waited_for_half_a_second():
    steps, rested = waited(1.0)
    assert not rested and steps * idle.STEP_S == pytest.approx(idle.LIMIT_S, abs=idle.STEP_S)


def test_a_thread_that_spins_is_seen_and_its_end_too():
    """With Python's own clocks. The thread busy-waits, like a pool that waits for work."""
    stop = threading.Event()
    spinning = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    spinning.start()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    try:
        assert idle.wait_until_idle() and stop.is_set()
    finally:
        stop.set(), timer.cancel(), spinning.join()
