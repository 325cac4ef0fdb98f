"""Validation: what the suite records for eager is what a bare loop over the same model takes, within 3 %.

Not collected by default: `pytest benchmarks/validation/test_overhead.py --models resnet18,mobilenet_v2`.
"""

from __future__ import annotations

import time

import numpy
import pytest

from fixtures.latency import synchronised

BLOCKS, CALLS = 60, 5
LIMIT = 0.03


@pytest.mark.with_reference
def test_overhead(model, twin, benchmark):
    """Blocks of the bare loop and of the suite's timed calls alternate, so that both see the same machine."""
    import torch

    batch, module = model.example(1), model.module
    call, settle = synchronised(twin.run, batch, model.run_device)
    if twin.name != "eager_fp32":
        pytest.skip("the bare loop runs the eager model")
    bare_s, rounds = [], iter(range(BLOCKS * CALLS))

    def bare_block() -> None:
        if next(rounds) % CALLS == 0:
            with torch.inference_mode():
                module(batch)  # The first call after a switch counts on neither side.
                settle()
                for _ in range(CALLS):
                    start = time.perf_counter()
                    module(batch)
                    settle()
                    bare_s.append(time.perf_counter() - start)
            call()
        settle()

    benchmark.pedantic(call, setup=bare_block, rounds=BLOCKS * CALLS)
    recorded, bare = numpy.median(benchmark.stats.stats.data), numpy.median(bare_s)
    print(
        f"\n{model.name}: recorded {recorded * 1e3:.3f} ms, bare loop {bare * 1e3:.3f} ms, {recorded / bare - 1:+.2%}"
    )
    assert abs(recorded / bare - 1) <= LIMIT, (
        f"{model.name}: got {recorded:.6f} s, a bare loop {bare:.6f} s, tolerance {LIMIT:.0%}\n"
        "Repeat on a quiet machine; if it persists, the suite's timed call does more than the model."
    )
