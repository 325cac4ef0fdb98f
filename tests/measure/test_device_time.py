"""Tests of device time: what is queued in which order, on a fake GPU that only keeps a log."""

from __future__ import annotations

import contextlib
import types

import pytest
import torch

from fixtures.measure import device_time


@pytest.fixture
def diary(monkeypatch):
    """A log of the GPU's work. An event completes after what was queued before it; a call takes 2 ms."""
    done = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            done.append("event")
            self.at_ms = 2.0 * done.count("call")

        def elapsed_time(self, end):
            return end.at_ms - self.at_ms

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: done.append(cycles))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *device: done.append("wait"))
    return done


class Batch:
    """A batch that says it is on a GPU."""

    device = torch.device("cuda:0")

    def cpu(self):
        return self

    def to(self, device):
        assert device == "cuda:0"


def test_on_the_cpu_there_is_no_device_time():
    none = device_time.figures(pytest.fail, torch.zeros(1), 0.01)
    reason = {"device_reason": "it does not run on a GPU"}
    assert none == {"device_p50_s": None, "device_blocks_s": None, "h2d_p50_s": None, **reason}


def test_the_work_stands_alone_between_the_events(diary):
    seconds = device_time.work_s(lambda batch: diary.append("call"), Batch(), 0.001)
    assert seconds == pytest.approx(0.002)
    assert diary == [6_000_000, "event", "call", "event", "wait"], "the wait comes first and covers the launches"


@pytest.mark.parametrize("call_s, calls, blocks", [(0.0005, 30, 10), (0.02, 12, 12), (2.0, 5, 5)])
def test_slow_calls_are_measured_less_often(diary, call_s, calls, blocks):
    found = device_time.figures(lambda batch: diary.append("call"), Batch(), call_s)
    assert diary.count("call") == calls
    assert found["device_p50_s"] == pytest.approx(0.002) and found["h2d_p50_s"] >= 0
    assert found["device_blocks_s"] == pytest.approx([0.002] * blocks)


def test_the_input_is_restored_before_each_call_and_outside_its_time(diary):
    device_time.figures(lambda batch: diary.append("call"), Batch(), 0.5, lambda: diary.append("restored"))
    events = [entry for entry in diary if entry in ("restored", "event", "call")]
    assert events == ["restored", "event", "call", "event"] * device_time.FEWEST_CALLS


def test_blocks_are_medians_of_successive_calls():
    seconds = [call + (100 if call % 3 == 0 else 0) for call in range(30)]
    assert device_time._blocks(seconds) == [3 * block + 2 for block in range(10)]
    assert device_time._blocks([1.0] * 25) == [1.0] * 12


def test_a_twin_that_waits_inside_has_its_reason_and_no_figure(diary):
    class Waiting:
        no_device_time = "it waits"

        def __call__(self, batch):
            pytest.fail("nothing to be timed")

    found = device_time.figures(Waiting(), Batch(), 0.001)
    assert found["device_p50_s"] is None and found["device_reason"] == "it waits" and found["h2d_p50_s"] >= 0


def test_a_device_time_above_the_calls_gives_no_figure():
    found = {"device_p50_s": 0.00153, "device_blocks_s": [0.00153], "h2d_p50_s": 0.0001, "device_reason": None}
    assert device_time.checked(found, 0.0015) == found
    refused = device_time.checked(found, 0.00142)
    assert refused["device_p50_s"] is None and refused["device_blocks_s"] is None and refused["h2d_p50_s"] == 0.0001
    assert refused["device_reason"] == "events gave 1.530 ms, more than the 1.420 ms of the whole call"


def test_onnxruntime_on_a_gpu_is_such_a_twin():
    from fixtures.backends.onnxruntime import OnnxRuntimeCudaTwin

    assert "own stream" in OnnxRuntimeCudaTwin.no_device_time


def test_the_copy_starts_on_the_host_and_ends_when_the_device_has_it(diary):
    moved = []
    host = types.SimpleNamespace(to=moved.append)
    batch = types.SimpleNamespace(device=torch.device("cuda:0"), cpu=lambda: host)
    device_time.copy_p50_s(batch)
    assert len(moved) == device_time.CALLS + 1 and set(moved) == {"cuda:0"}
    assert diary.count("wait") == len(moved) + 1
