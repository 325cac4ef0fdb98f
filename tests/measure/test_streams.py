"""Tests of measuring several streams: threads that wait for each other, and rates by shares of calls."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from fixtures.measure.field import streams


def lane(call, inside=None):
    return streams.Stream(call, inside or contextlib.nullcontext(), lambda: None)


def test_in_step_no_output_is_read_before_every_stream_has_finished():
    finished, seen = [], []

    def call(batch):
        time.sleep(0.002 * batch)
        finished.append(batch)
        return batch

    def read(output):
        seen.append(len(finished))
        return output

    lanes = [lane(call) for _ in range(3)]
    found = streams.outputs_of(lanes, [[0, 1], [1, 2], [2, 0]], read, in_step=True)
    assert found == [[0, 1], [1, 2], [2, 0]]
    assert sorted(seen)[:3] == [3, 3, 3] and sorted(seen)[3:] == [6, 6, 6]


def test_at_its_own_pace_a_fast_stream_does_not_wait_for_a_slow_one():
    order = []

    def slow(batch):
        time.sleep(0.05)
        order.append("slow")

    streams.outputs_of(
        [lane(slow), lane(lambda batch: order.append("fast"))], [[0], [0] * 5], lambda output: None, in_step=False
    )
    assert order == ["fast"] * 5 + ["slow"]


def test_each_stream_runs_in_its_own_thread_inside_what_it_needs():
    entered, called = [], []

    class Inside(contextlib.AbstractContextManager):
        def __enter__(self):
            entered.append(threading.get_ident())

        def __exit__(self, *_):
            entered.append(threading.get_ident())

    lanes = [lane(lambda batch: called.append(threading.get_ident()), Inside()) for _ in range(2)]
    streams.outputs_of(lanes, [[0], [0]], lambda output: None, in_step=True)
    assert len(set(called)) == 2 and threading.get_ident() not in called and set(entered) == set(called)
    assert len(entered) == 4


@pytest.mark.parametrize("in_step", [True, False])
def test_a_stream_that_fails_ends_the_others_and_its_error_is_raised(in_step):
    def fail(batch):
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        streams.outputs_of([lane(lambda batch: batch), lane(fail)], [[0] * 3] * 2, lambda output: output, in_step)
    with pytest.raises(ValueError, match="no memory"):
        streams.timed([lane(lambda batch: batch), lane(fail)], [0, 0], 0.01, 1, 1.0)


def test_calls_are_timed_until_time_and_calls_are_enough_and_never_beyond_the_limit():
    def call(batch):
        time.sleep(0.01)
        return batch

    spans, last = streams.timed([lane(call)] * 2, ["a", "b"], 0.05, 3, 1.0)
    assert last == ["a", "b"] and all(4 <= len(calls) <= 6 for calls in spans)
    spans, _ = streams.timed([lane(call)], [0], 0.0, 4, 1.0)
    assert len(spans[0]) == 4
    spans, _ = streams.timed([lane(call)], [0], 0.0, 100, 0.03)
    assert 2 <= len(spans[0]) <= 4


def steady(call_s, calls, start=0.0):
    return [(start + call_s * number, start + call_s * (number + 1)) for number in range(calls)]


def test_the_rate_is_that_of_all_streams_while_all_ran():
    load = streams.summarise([steady(0.01, 100), steady(0.02, 60, start=0.1)])
    assert load.window_s == pytest.approx(0.9) and load.calls_per_s == pytest.approx(150)
    low, high = load.calls_per_s_ci95
    assert low <= load.calls_per_s <= high and high - low < 1
    assert load.blocks_s == pytest.approx([1 / 150] * 10)
    assert load.p50_s == pytest.approx(0.01) and load.p95_s == pytest.approx(0.02) and load.p99_s is not None


def test_few_long_calls_give_a_smooth_rate_and_no_p99():
    load = streams.summarise([steady(0.3, 5), steady(0.3, 5, start=0.1)])
    assert load.calls_per_s == pytest.approx(2 / 0.3) and load.p99_s is None
    assert load.blocks_s == pytest.approx([0.15] * 10)


def test_a_rate_that_drops_shows_in_the_blocks_and_widens_the_interval():
    calls = [*steady(0.01, 50), *steady(0.05, 10, start=0.5)]
    load = streams.summarise([calls, calls])
    assert load.blocks_s[0] == pytest.approx(0.005) and load.blocks_s[-1] == pytest.approx(0.025)
    low, high = load.calls_per_s_ci95
    assert high - low > 0.2 * load.calls_per_s


def test_streams_that_never_ran_together_have_no_rate():
    with pytest.raises(ValueError, match="did not run at the same time"):
        streams.summarise([steady(0.01, 10), steady(0.01, 10, start=1.0)])


def test_on_a_gpu_each_call_runs_on_its_own_stream_and_waits_for_that_alone(monkeypatch):
    import torch

    done, local = [], threading.local()

    class Stream:
        def __init__(self, device):
            self.name = f"{device} {len(made)}"
            made.append(self)

        def synchronize(self):
            done.append((local.current, "waits for", self.name))

        def wait_stream(self, other):
            done.append((self.name, "follows", other))

    @contextlib.contextmanager
    def entered(stream):
        local.current = stream.name
        yield
        local.current = None

    made = []
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"{device} default")
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: Reusable(lambda: entered(stream)))
    monkeypatch.setattr(torch.cuda, "synchronize", None)  # Would wait for every stream.
    lanes = [streams.stream(lambda batch: (local.current, batch), "cuda:1") for _ in range(2)]
    found = streams.outputs_of(lanes, [["a"], ["b"]], lambda outputs: outputs, in_step=True)
    assert found == [[("cuda:1 0", "a")], [("cuda:1 1", "b")]]
    assert done[:2] == [(f"cuda:1 {place}", "follows", "cuda:1 default") for place in range(2)]
    assert sorted(done[2:]) == [(f"cuda:1 {place}", "waits for", f"cuda:1 {place}") for place in range(2)]
    streams.timed(lanes, ["a", "b"], 0.0, 1, 1.0)
    assert len(made) == 2, "a stream is used again: torch has 32 of them and then gives the first once more"


class Reusable:
    """torch.cuda.stream's block may be entered again."""

    def __init__(self, make):
        self.make = make

    def __enter__(self):
        self.block = self.make()
        return self.block.__enter__()

    def __exit__(self, *found):
        return self.block.__exit__(*found)
