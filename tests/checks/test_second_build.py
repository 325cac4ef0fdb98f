"""Tests of the second build: it differs from the first only in the timing cache. Its figures: test_suite.py."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.checks import second_build
from fixtures.common.build_options import BuildOptions
from fixtures.run import process
from fixtures.run.worker import Job


def test_the_second_build_keeps_the_models_own_choices_and_times_tactics_afresh(tmp_path):
    options = BuildOptions(workspace_bytes=2**20, timing_folder=tmp_path / "timing", batch_profile=(1, 4, 8))
    job = Job("mine", "onnxruntime_fp32", Path("weights.pth"), None, "cpu", options)
    asked = []

    def work(title, task, given, path):
        asked.append(given)
        raise process.WorkerFailed("seen enough")

    session = SimpleNamespace(settings=SimpleNamespace(engine_folder=tmp_path), work=work)
    twin = SimpleNamespace(
        name="onnxruntime_fp32", model=SimpleNamespace(name="mine", session=session), build_job=lambda batch_size: job
    )
    with pytest.raises(process.WorkerFailed):
        second_build.build_twice(twin, 8, lambda: 0.0)
    (second,) = asked
    assert second.options.timing_folder is None
    assert (second.options.workspace_bytes, second.options.batch_profile) == (2**20, (1, 4, 8))
    assert list(tmp_path.iterdir()) == [], "a failed build leaves its folder"


def test_every_timed_call_of_both_builds_gets_the_input_as_it_was(tmp_path, monkeypatch):
    import torch

    seen = {"first": [], "second": []}

    def in_place(name):
        def run(batch):
            seen[name].append(batch.clone())
            return batch.sub_(0.5).div_(0.5)

        return run

    again = in_place("second")
    again.close = lambda: None
    module = SimpleNamespace(ENGINE_SUFFIX=".onnx")
    monkeypatch.setitem(second_build.TWINS, "x", SimpleNamespace(module=module, load=lambda *given: again))
    session = SimpleNamespace(settings=SimpleNamespace(engine_folder=tmp_path), work=lambda *given: {"build_s": 1.0})
    original = torch.arange(8.0)[None]
    model = SimpleNamespace(name="mine", session=session, run_device="cpu", example=lambda size: original.clone())
    job = Job("mine", "x", Path("weights.pth"), None, "cpu", BuildOptions())
    twin = SimpleNamespace(name="x", model=model, run=in_place("first"), build_job=lambda size: job)
    second_build.build_twice(twin, 2, time.perf_counter)
    for name, batches in seen.items():
        right = sum(torch.equal(batch, original) for batch in batches)
        assert right >= second_build.latency.MIN_ROUNDS // 3, f"{name}: {right} of {len(batches)}"


@pytest.mark.parametrize(("ratios", "expected"), [([], None), ([1.1, 0.9], [1.1, 0.9]), ([None, None], None)])
def test_further_builds_keep_the_ratio_of_each(monkeypatch, ratios, expected):
    found = iter(ratios)
    monkeypatch.setattr(second_build, "build_twice", lambda *given: {"rebuilt_ratio": next(found)})
    figures = second_build.build_again(None, 1, lambda: 0.0, len(ratios))
    assert figures.get("rebuilt_ratios") == expected
    assert figures.get("rebuilt_ratio") == (ratios[0] if ratios else None)
