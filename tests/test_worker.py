"""Tests of the worker: what it returns, and every way in which it can fail without taking the run."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from fixtures import worker
from fixtures.errors import UserError


def double(number):
    return 2 * number


def process_id():
    return os.getpid()


def raise_value_error():
    raise ValueError("a bad value")


def raise_user_error():
    raise UserError("weights.pth is truncated; fetch it again")


def die(number):
    os.kill(os.getpid(), number)


def leave():
    os._exit(3)


def sleep(seconds):
    time.sleep(seconds)


def run(task, *arguments, timeout_s=60.0, **options):
    return worker.run(task, *arguments, title="the task", timeout_s=timeout_s, **options)


def test_the_answer_comes_back_from_another_process():
    assert run(double, 21) == 42
    assert run(process_id) != os.getpid()
    assert run(process_id) != run(process_id), "each task starts from a fresh process"


@pytest.mark.parametrize(
    "task, arguments, expected",
    [
        (raise_value_error, (), r"the task failed: ValueError: a bad value \(at test_worker.py:\d+\)"),
        (raise_user_error, (), r"the task failed: weights.pth is truncated; fetch it again"),
        (die, (signal.SIGSEGV,), r"the task crashed with SIGSEGV"),
        (die, (signal.SIGKILL,), r"the task was killed \(SIGKILL\), most likely because memory ran out"),
        (leave, (), r"the task ended without an answer, exit code 3"),
    ],
)
def test_a_failing_worker_gives_its_reason_in_one_line(task, arguments, expected):
    with pytest.raises(worker.WorkerFailed, match=f"^{expected}$"):
        run(task, *arguments)


def test_a_hanging_worker_is_stopped():
    clock = time.monotonic()
    with pytest.raises(worker.WorkerFailed, match="took longer than 1 s and was stopped; .*--case-timeout"):
        run(sleep, 60, timeout_s=1.0)
    assert time.monotonic() - clock < 10


def test_the_wait_is_told():
    waited = []
    run(sleep, 1.0, waiting=waited.append)
    assert waited and waited == sorted(waited) and waited[-1] < 30


def test_an_interrupted_wait_leaves_no_worker(monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    run(double, 1)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt):
        run(sleep, 60, waiting=interrupt)
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before
