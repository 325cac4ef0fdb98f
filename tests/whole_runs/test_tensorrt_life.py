"""The validation script for a GPU with TensorRT: when its exit code must be 1. The life itself needs the GPU."""

from __future__ import annotations

import pytest

from benchmarks.validation import bare, tensorrt_life
from fixtures.common.errors import UserError
from tests.doubles import on_host, small


def test_it_fails_where_no_twin_can_run(monkeypatch, capsys):
    monkeypatch.setattr(tensorrt_life, "unavailable", lambda twin, device: "no CUDA device here")
    assert not tensorrt_life.main([])
    assert capsys.readouterr().out.splitlines()[-1] == "FAILED: no twin ran"


def test_it_fails_where_every_twin_is_refused(monkeypatch):
    def refuse(*_):
        raise UserError("TensorRT cannot build")

    monkeypatch.setattr(tensorrt_life, "unavailable", lambda twin, device: None)
    monkeypatch.setattr(tensorrt_life, "life", refuse)
    assert not tensorrt_life.main([])


def test_it_passes_where_some_run_and_the_others_cannot_by_their_own_word(monkeypatch):
    monkeypatch.setattr(tensorrt_life, "unavailable", lambda twin, device: None if twin == "tensorrt_fp32" else "no")
    monkeypatch.setattr(tensorrt_life, "life", lambda *_: "well")
    assert tensorrt_life.main([])


@pytest.mark.parametrize("call_s, aside, good", [(1.1, 0.0, True), (1.2, 0.0, False), (1.1, 0.5, False)])
def test_it_fails_where_a_call_costs_too_much_or_ignores_its_stream(call_s, aside, good, monkeypatch, tmp_path, capsys):
    """On the double; `bare.median_s` is asked for the twin's call, a bare one and a replayed one."""
    import torch

    on_host.tensorrt(monkeypatch, "10.3.0")
    rand, seconds = torch.rand, iter([call_s, 1.0, 0.5])
    monkeypatch.setattr(tensorrt_life, "unavailable", lambda twin, device: None if twin == "tensorrt_fp32" else "no")
    monkeypatch.setattr(tensorrt_life, "random_model", lambda name: small.small_model())
    monkeypatch.setattr(torch, "rand", lambda *shape, device: rand(shape[0], 3, 16, 16))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(bare, "median_s", lambda call: next(seconds))
    monkeypatch.setattr(tensorrt_life, "on_a_side_stream", lambda *twin_and_batches: aside)
    monkeypatch.setattr(bare, "context", lambda path, example: (None, []))
    monkeypatch.setattr("fixtures.common.replay.Replay", lambda twin, example: twin)
    assert tensorrt_life.main([]) is good
    printed = capsys.readouterr().out
    assert (f"ratio {call_s:.3f}" if not aside else "on a side stream") in printed and ("FAILED" in printed) is not good
