"""Where torch computes on the host, calls are timed separately, because measuring memory slows them down."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fixtures.common import phases
from fixtures.common.build_options import DEFAULT
from fixtures.run import worker
from fixtures.run.twin import RunningTwin
from tests.helpers import pretended


def running_on(run_device, asked):
    """A running model with fake workers. asked: gets each one's task."""

    def work(title, task, job, *path):
        asked.append(task)
        return {"first_call_s": 2.0, "host_run_peak_bytes": 10} if task is worker.start else {"first_call_s": 1.0}

    return pretended.model(work, run_device)


WORKERS = [("cpu", [worker.start, worker.start_times], 1.0), ("cuda:0", [worker.start], 2.0)]


@pytest.mark.parametrize("run_device, asked, seconds", WORKERS)
def test_memory_is_of_the_one_process_and_times_are_of_the_other(run_device, asked, seconds):
    seen = []
    figures = RunningTwin("eager_fp32", running_on(run_device, seen)).figures
    assert seen == asked
    assert figures["host_run_peak_bytes"] == 10 and figures["first_call_s"] == seconds


def test_every_time_of_such_a_start_is_taken_again(monkeypatch):
    monkeypatch.setattr(worker, "loaded_model", lambda job: (nn.Identity(), 0.1))
    monkeypatch.setattr(phases, "seconds", {})  # A worker's own process starts without any.
    example = torch.zeros(1, 3, 4, 4).numpy()
    job = worker.Job("resnet18", "eager_fp32", Path("w"), example, "cpu", DEFAULT)
    measured, times = worker.start(job, None), worker.start_times(job)
    assert set(times) == {name for name in measured if name.endswith("_s") and measured[name] is not None}
    assert all(seconds > 0 for seconds in times.values()) and times["load_s"] == times["model_load_s"]
