"""Tests of the host's peak memory: known allocations, by the kernel's mark and by the sampler."""

from __future__ import annotations

import time

import numpy
import pytest

from fixtures import memory
from fixtures.memory import host_peak

MIB = 2**20


@pytest.fixture(params=["VmHWM", "sampled"])
def source(request, monkeypatch):
    """Each way to read the peak."""
    if request.param == "sampled":
        monkeypatch.setattr(memory, "_reset_high_water_mark", lambda: False)
    elif not memory._reset_high_water_mark():
        pytest.skip("this kernel or container refuses to reset the high-water mark")
    return request.param


def allocate(mib: int) -> numpy.ndarray:
    """So many MiB that are really resident."""
    return numpy.ones(mib * MIB, dtype=numpy.uint8)


def test_a_known_allocation_is_seen_even_when_freed_again(source):
    with host_peak() as peak:
        block = allocate(200)
        time.sleep(0.02)
        del block
    assert abs(peak.bytes - 200 * MIB) < 4 * MIB
    assert peak.source == source


def test_memory_of_before_does_not_count(source):
    held = allocate(300)
    del held
    with host_peak() as peak:
        time.sleep(0.01)
    assert 0 <= peak.bytes < 4 * MIB


def test_the_figure_is_there_after_an_exception(source):
    with pytest.raises(ValueError), host_peak() as peak:
        block = allocate(100)
        time.sleep(0.02)
        del block
        raise ValueError
    assert abs(peak.bytes - 100 * MIB) < 4 * MIB
