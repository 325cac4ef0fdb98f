"""Latency: steady calls of the twin in blocks that alternate with eager's, recorded by pytest-benchmark."""

from __future__ import annotations

import pytest

from fixtures.checks import out_of_memory
from fixtures.checks.timing import measure, throughput
from fixtures.common.outputs import to_numpy


@pytest.mark.with_reference
def test_latency(model, twin, batch_size, session, benchmark):
    """Records percentiles, frames per second and the speed-up. The output must have the batch's size."""
    with out_of_memory.recorded(model, twin, batch_size):
        answer = measure(benchmark, model, twin, batch_size)
    session.record.add("latency", **{"model": model.name, "twin": twin.name, **benchmark.extra_info})
    session.record.add("throughput", **throughput(benchmark, model, twin, batch_size))
    for name, array in to_numpy(answer).items():
        assert len(array) == batch_size, f"{name} has {len(array)} rows, expected {batch_size}: another engine's?"
