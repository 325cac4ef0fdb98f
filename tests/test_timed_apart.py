"""Where torch computes on the host its calls are timed apart from its memory, whose measuring slows them."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch
from torch import nn

from fixtures import running, worker
from fixtures.build_options import DEFAULT
from fixtures.running_twin import RunningTwin


def running_on(run_device, asked):
    """A running model whose workers only pretend; `asked` gets whether each was to give its memory back."""

    def work(title, task, job, path, give_back=True):
        assert task is worker.start
        asked.append(give_back)
        seconds = 2.0 if give_back else 1.0
        return {**dict.fromkeys(worker.TIMES, seconds), "host_run_peak_bytes": 10 if give_back else 99}

    settings = types.SimpleNamespace(build_options=DEFAULT, trusted_engine=None, run_device=run_device)
    return types.SimpleNamespace(
        name="resnet18", run_device=run_device, spec=running.ModelSpec("resnet18"), module=nn.Identity(),
        example=lambda size: torch.zeros(size, 3, 4, 4), weights_file=types.SimpleNamespace(path=Path("w"), digest="d"),
        session=types.SimpleNamespace(work=work, settings=settings),
    )  # fmt: skip


@pytest.mark.parametrize("run_device, asked, seconds", [("cpu", [True, False], 1.0), ("cuda:0", [True], 2.0)])
def test_memory_is_of_the_one_process_and_times_are_of_the_other(run_device, asked, seconds):
    seen = []
    figures = RunningTwin("eager_fp32", running_on(run_device, seen)).figures
    assert seen == asked and figures["host_run_peak_bytes"] == 10
    assert {figures[name] for name in worker.TIMES} == {seconds}
