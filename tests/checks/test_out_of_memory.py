"""Tests of batches that are too large: which errors mean that memory ran out, and that the run goes on."""

from __future__ import annotations

import types
import weakref

import pytest

from fixtures.checks import out_of_memory
from fixtures.checks.out_of_memory import recorded, shortage
from fixtures.common.errors import UserError
from fixtures.run.process import WorkerFailed
from fixtures.run.record import Record
from fixtures.summary.rows import table_rows


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 3.64 TiB for an array"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:75] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 602112000000 bytes."),
        RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp:838"),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
        WorkerFailed("start of vgg16 eager_fp32 was killed (SIGKILL), because memory ran out"),
        WorkerFailed("build of vgg16 tensorrt_fp16 failed: TensorRT: Requested amount of GPU memory: OutOfMemory"),
    ],
)
def test_running_out_of_memory_is_recognised_by_the_message(error):
    reason = shortage(error)
    assert reason and type(error).__name__ in reason and "\n" not in reason


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape '[1, 3]' is invalid for input of size 4"),
        WorkerFailed("build of x crashed with SIGSEGV"),
        WorkerFailed("build of x was killed (SIGKILL), but not by the OOM killer"),
        ValueError("got (8, 3, 4, 4), the engine was built for (1, 3, 4, 4)"),
    ],
)
def test_other_errors_are_not(error):
    assert shortage(error) is None


@pytest.fixture
def case():
    """A model and a twin that remembers that it was closed."""
    closed = []
    session = types.SimpleNamespace(record=Record(), settings=types.SimpleNamespace(batch_sizes=(8, 512)))
    model = types.SimpleNamespace(name="m", run_device="cpu", session=session)
    return model, types.SimpleNamespace(name="t", close=lambda: closed.append(1), closed=closed)


def test_a_batch_too_large_is_recorded_freed_and_skipped(case):
    model, twin = case
    said = "out of memory at batch size 512: RuntimeError: CUDA out"
    with pytest.raises(pytest.skip.Exception, match=said), recorded(model, twin, 512):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
    (row,) = model.session.record.suite()["throughput"]
    assert row["batch_size"] == 512 and row["out_of_memory"].startswith("RuntimeError: CUDA out of memory")
    assert twin.closed
    (cells,) = table_rows(model.session.record)
    assert (cells["batch"], cells["latency ms"]) == ("512", "out of memory")


def test_where_not_even_the_smallest_batch_fits_the_case_fails(case):
    with pytest.raises(pytest.fail.Exception, match="^out of memory at batch size 8: Memory"), recorded(*case, 8):
        raise MemoryError
    (row,) = case[0].session.record.suite()["throughput"]
    assert (row["batch_size"], row["latency_p50_s"]) == (8, None) and row["out_of_memory"].startswith("MemoryError")


def test_what_filled_the_memory_is_gone_before_the_twin_is_freed(case, monkeypatch):
    held, alive = [], []

    def fill():
        outputs = type("Outputs", (), {})()
        held.append(weakref.ref(outputs))
        raise MemoryError

    monkeypatch.setattr(out_of_memory, "free", lambda run_device: alive.append(held[0]() is not None))
    with pytest.raises(pytest.skip.Exception), recorded(*case, 512):
        fill()
    assert alive == [False]


def test_a_reason_cannot_steer_the_terminal():
    assert "\x1b" not in shortage(MemoryError("a\x1b[2Jb"))


def test_another_error_is_left_as_it_is(case):
    with pytest.raises(ZeroDivisionError), recorded(*case, 8):
        raise ZeroDivisionError


@pytest.mark.parametrize("error", [WorkerFailed("start of m t crashed with SIGSEGV"), UserError("no such layer")])
def test_a_dead_worker_and_a_wrong_input_are_left_to_the_one_translation(case, error):
    with pytest.raises(type(error), match=str(error)), recorded(*case, 8):
        raise error
    assert case[0].session.record.suite()["throughput"] == []


def test_what_fits_passes(case):
    with recorded(*case, 8):
        pass
    assert out_of_memory.shortage(Exception("all is well")) is None
