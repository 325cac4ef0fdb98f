"""The test that `overhead` runs inside pytest, so that pytest-benchmark itself does the timing."""

from __future__ import annotations


def test_overhead(benchmark, overhead_case):
    """The suite's timed call, with bare blocks between its own."""
    blocks = overhead_case.blocks()
    benchmark.pedantic(overhead_case.call, setup=lambda: next(blocks), rounds=overhead_case.rounds)
    overhead_case.recorded_s = list(benchmark.stats.stats.data)
