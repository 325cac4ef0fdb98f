"""Latency: steady calls of the twin in blocks that alternate with eager's, recorded by pytest-benchmark."""

from __future__ import annotations

import pytest

from twins.checks import batch_rows, out_of_memory
from twins.checks.timing import measure, throughput
from twins.common.outputs import to_numpy
from twins.judge.verdict import assert_verdict


@pytest.mark.with_reference
def test_latency(model, twin, batch_size, session, benchmark):
    """Records percentiles, frames per second and the speed-up. Each row of a batch must equal eager's."""
    with out_of_memory.recorded(model, twin, batch_size):
        raw = measure(benchmark, model, twin, batch_size)
    session.record.add("latency", **{"model": model.name, "twin": twin.name, **benchmark.extra_info})
    session.record.add("throughput", **throughput(benchmark, model, twin, batch_size))
    outputs = to_numpy(raw)
    for name, array in outputs.items():
        assert len(array) == batch_size, f"{name} has {len(array)} rows, expected {batch_size}: another engine's?"
    verdict = batch_rows.judged(model, twin, batch_size, outputs)
    if verdict is not None:
        assert_verdict(verdict, f"{model.name} {twin.name}, batch size {batch_size}")
