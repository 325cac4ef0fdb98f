"""The validation script for a GPU with TensorRT: when its exit code must be 1. The life itself needs the GPU."""

from __future__ import annotations

import pytest

from benchmarks.validation import bare, rtx, tensorrt_life
from fixtures.backends import TWINS
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
    """On the double. `bare.medians_s` times the twin's call against a bare one, `median_s` a replayed one."""
    import torch

    on_host.tensorrt(monkeypatch, "10.3.0")
    rand = torch.rand
    monkeypatch.setattr(tensorrt_life, "unavailable", lambda twin, device: None if twin == "tensorrt_fp32" else "no")
    monkeypatch.setattr(tensorrt_life, "random_model", lambda name: small.small_model())
    monkeypatch.setattr(torch, "rand", lambda *shape, device: rand(shape[0], 3, 16, 16))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(bare, "medians_s", lambda call, direct: (call_s, 1.0))
    monkeypatch.setattr(bare, "median_s", lambda call: 0.5)
    monkeypatch.setattr(tensorrt_life, "on_a_side_stream", lambda *twin_and_batches: aside)
    monkeypatch.setattr(bare, "context", lambda trt, path, example: (None, []))
    monkeypatch.setattr("twins.common.replay.Replay", lambda twin, example: twin)
    assert tensorrt_life.main([]) is good
    printed = capsys.readouterr().out
    assert (f"ratio {call_s:.3f}" if not aside else "on a side stream") in printed and ("FAILED" in printed) is not good


def test_kernels_and_batch_profile_of_tensorrt_for_rtx_are_tried_on_the_double(monkeypatch, tmp_path):
    """Streams, captures and device time need the GPU."""
    trt = on_host.tensorrt(monkeypatch, "1.6.1.120")
    spec, model, batches = TWINS["tensorrt_rtx_tf32"], small.small_model(), small.image_batch(14)
    path = tmp_path / "a.engine"
    spec.build(model, batches[:1], path).close()
    monkeypatch.setattr(rtx, "streams", lambda *_: [])
    monkeypatch.setattr(rtx, "device_times", lambda *_: [])
    line = ", ".join(rtx.extras(trt, spec, model, None, path, batches, 1e-4))
    for part in ("compiled: load ", "stored: load ", "broken kernels refused", "batches of 1, 4, 8 in one engine"):
        assert part in line
    monkeypatch.setattr(trt.IRuntimeCache, "deserialize", lambda *_: True)
    with pytest.raises(AssertionError, match="bytes of kernels were accepted"):
        rtx.broken_kernels(spec, path, batches[:1])
