"""Tests of peak memory: known allocations by the kernel's mark and by the sampler, phases, and a Jetson's files."""

from __future__ import annotations

import contextlib
import functools
import gc
import time

import numpy
import psutil
import pytest

from fixtures.common import phases
from fixtures.measure import device_memory, memory
from fixtures.measure.device_memory import device_peak
from fixtures.measure.memory import host_peak
from fixtures.run import process

MIB = 2**20


def allocate(mib: int) -> numpy.ndarray:
    """This many MiB that are really resident."""
    return numpy.ones(mib * MIB, dtype=numpy.uint8)


def in_worker(task):
    """Wraps a task: calling it with a source returns the peak read from that; None if the kernel refuses it."""

    @functools.wraps(task)
    def run(source):
        if source == "sampled":
            memory._reset_high_water_mark = lambda: False
        elif not memory._reset_high_water_mark():
            return None
        gc.collect()
        gc.disable()
        with contextlib.suppress(ValueError), host_peak() as peak:
            task(peak)
        return {"bytes": peak.bytes, "source": peak.source, "phases": peak.phases}

    return run


@in_worker
def freeing(peak):
    block = allocate(200)
    time.sleep(0.02)
    del block


@in_worker
def doing_nothing(peak):
    time.sleep(0.01)


@in_worker
def raising(peak):
    block = allocate(100)
    time.sleep(0.02)
    del block
    raise ValueError


@in_worker
def in_three_phases(peak):
    kept = allocate(50)
    passing = allocate(150)
    time.sleep(0.02)
    del passing
    peak.end("load")
    time.sleep(0.02)
    peak.end("first_call")
    more = allocate(30)
    time.sleep(0.02)
    peak.end("steady")
    del kept, more


def after_much(source):
    held = allocate(300)
    del held
    return doing_nothing(source)


def all_of_them(source):
    return {task.__name__: task(source) for task in (freeing, after_much, raising, in_three_phases)}


@pytest.fixture(scope="module", params=["VmHWM", "sampled"])
def measured(request):
    """What the tasks above measured, each way to read the peak, in a worker, as the suite measures.

    Not in the tests' own process: what earlier tests left there, and pages of libraries that the kernel takes back,
    shrink its resident memory by some MiB at any moment.
    """
    found = process.run(all_of_them, request.param, title="measure", timeout_s=60)
    if None in found.values():
        pytest.skip("this kernel or container refuses to reset the high-water mark")
    assert {one["source"] for one in found.values()} == {request.param}
    return found


def test_a_known_allocation_is_seen_even_when_freed_again(measured):
    assert abs(measured["freeing"]["bytes"] - 200 * MIB) < 4 * MIB


def test_memory_of_before_does_not_count(measured):
    assert 0 <= measured["after_much"]["bytes"] < 4 * MIB


def test_the_figure_is_there_after_an_exception(measured):
    assert abs(measured["raising"]["bytes"] - 100 * MIB) < 4 * MIB


def test_each_phase_has_its_own_peak_over_one_beginning(measured):
    peak = measured["in_three_phases"]
    found = {phase: round(grown / MIB) for phase, grown in peak["phases"].items()}
    assert found["load"] == pytest.approx(200, abs=4), "what was freed again before its end counts"
    assert found["first_call"] == pytest.approx(50, abs=4), "what is kept counts, what was freed before does not"
    assert found["steady"] == pytest.approx(80, abs=4)
    assert peak["bytes"] == peak["phases"]["load"], "the whole is the highest of all"


def test_on_the_cpu_there_is_no_device_memory():
    with device_peak("cpu") as peak:
        peak.end("load")
    assert (peak.bytes, peak.source, peak.phases) == (None, None, {"load": None})


@pytest.fixture
def jetson(tmp_path, monkeypatch):
    """Sets a Jetson's available memory, in MiB, in a file like its /proc/meminfo."""

    def available(mib):
        lines = {"MemTotal": 7600, "MemFree": mib - 500, "MemAvailable": mib, "Buffers": 10, "Cached": 10}
        lines.update(Shmem=1, Active=1, Inactive=1)
        text = "".join(f"{name}: {value * 1024} kB\n" for name, value in lines.items())
        (tmp_path / "meminfo.new").write_text(text)
        (tmp_path / "meminfo.new").replace(tmp_path / "meminfo")

    available(4000)
    monkeypatch.setattr("twins.machine.jetson.is_jetson", lambda: True)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    return available


def test_a_jetson_is_read_by_what_its_memory_has_left(jetson):
    with device_peak("cuda:0") as peak:
        jetson(3000)
        time.sleep(0.02)
        peak.end("load")
        peak.end("steady")
        jetson(3600)
        peak.end("rest")
        jetson(4000)
    assert peak.source == "host_available_memory"
    assert peak.phases["load"] == 1000 * MIB
    # The first reading of the second phase is taken at once, while 3000 MiB are left.
    assert peak.phases["steady"] == 1000 * MIB
    assert peak.bytes == 1000 * MIB


def test_a_device_whose_processes_nvml_hides_is_read_by_its_free_memory(monkeypatch):
    import torch

    free = [10_000 * MIB]
    monkeypatch.setattr("twins.machine.jetson.is_jetson", lambda: False)
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: None)
    monkeypatch.setattr(device_memory.nvml, "process_bytes", lambda run_device, pid: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[0], 20_000 * MIB))
    with device_peak("cuda:0") as peak:
        free[0] -= 300 * MIB
        time.sleep(0.02)
        free[0] += 300 * MIB
    assert (peak.source, peak.bytes) == ("free_memory", 300 * MIB)


def test_a_phase_is_timed_where_it_happens(monkeypatch):
    monkeypatch.setattr(phases, "seconds", {})
    with pytest.raises(ValueError), phases.phase("export_s"):
        raise ValueError

    @phases.phase("context_s")
    def make():
        time.sleep(0.01)
        return 5

    assert make() == 5 and phases.seconds["context_s"] >= 0.01 > phases.seconds["export_s"]


def grown_after_freeing_large_blocks(give_back):
    """In a worker: KiB that stay resident once blocks of 1 MiB are freed of which every second one was kept a while."""
    numpy.ones(20 * MIB, dtype=numpy.uint8)  # Freed at once; from now on glibc by itself keeps blocks up to this size.
    assert not give_back or memory.give_blocks_back()
    before = memory._resident_bytes()
    blocks = [numpy.ones(MIB, dtype=numpy.uint8) for _ in range(64)]
    last = blocks.pop()
    blocks.clear()
    return (memory._resident_bytes() - before - last.nbytes) // memory.KIB


def test_a_worker_gives_back_what_it_frees():
    kept, given_back = (
        process.run(grown_after_freeing_large_blocks, asked, title="free", timeout_s=60) for asked in (False, True)
    )
    assert given_back < 4 * memory.KIB < 32 * memory.KIB < kept


def held_growth(task):
    """In a worker: the growth of `held_bytes` while the task runs."""
    memory.settle_heap()
    memory.held_bytes()
    before = memory.held_bytes()
    kept = task()
    grown = memory.held_bytes() - before
    del kept
    return grown


def keep_pages():
    return [bytes([1]) * 4096 for _ in range(2048)]


def free_pages():
    del [bytes([1]) * 4096 for _ in range(2048)][:]


def make_garbage():
    for _ in range(64):
        knot = [bytes([1]) * 65536]
        knot.append(knot)


def read_a_file():
    with open(numpy.__file__, "rb") as file:
        return len(file.read())


@pytest.mark.parametrize(
    "task, mib",
    [(keep_pages, 8), (free_pages, 0), (make_garbage, 0), (read_a_file, 0), (functools.partial(allocate, 16), 16)],
)
def test_memory_held_is_what_is_not_given_back(task, mib):
    grown = process.run(held_growth, task, title="held", timeout_s=60)
    assert grown == pytest.approx(mib * MIB, abs=0.3 * MIB)


@pytest.mark.parametrize(
    "files, expected",
    [
        ({"smaps_rollup": "Rss: 9 kB\nAnonymous:  3000 kB\nSwap:  40 kB\n", "status": "VmRSS: 9 kB\n"}, 3040),
        ({"status": "VmRSS:\t 5000 kB\nRssAnon:\t 2000 kB\nVmSwap:\t 10 kB\n"}, 2010),
        ({"status": "VmRSS:\t 5000 kB\n"}, 5000),
    ],
)
def test_memory_held_is_read_from_the_most_exact_file(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert memory.held_bytes(tmp_path) == expected * 1024


def test_without_any_figure_memory_held_is_an_error(tmp_path):
    with pytest.raises(OSError, match="has no resident memory"):
        memory.held_bytes(tmp_path)
