"""Tests of the worker: its result, and every way it can fail without ending the run."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings

import psutil
import pytest

from fixtures.checks.out_of_memory import shortage
from fixtures.common.errors import Unsupported, UserError
from fixtures.run import process


def double(number):
    return 2 * number


def process_id():
    return os.getpid()


def eagerness_to_be_killed():
    return int(open("/proc/self/oom_score_adj").read())


def raise_value_error():
    raise ValueError("a bad value")


def raise_escape():
    raise ValueError("a\x1b[2J\nb")


def raise_user_error():
    raise UserError("weights.pth is truncated; fetch it again")


def raise_unsupported():
    raise Unsupported("no converter for hardswish")


def warn(then):
    warnings.warn("a constant from here on", FutureWarning, stacklevel=1)
    if then:
        raise then


def print_and(then):
    print("from\x1b Python")
    os.write(1, b"from native code\n" * 3)
    os.write(2, b"an error\n")
    if then:
        raise then


def print_and_die():
    os.write(2, b"double free\n")
    os.kill(os.getpid(), signal.SIGABRT)


def die(number):
    os.kill(os.getpid(), number)


def leave():
    os._exit(3)


def sleep(seconds):
    time.sleep(seconds)


def reporting(steps):
    threads = [
        threading.Thread(target=process.report, args=(f"step {step} of {steps}",)) for step in range(1, steps + 1)
    ]
    for thread in threads:
        thread.start()
        thread.join()
    return "done"


def run(task, *arguments, timeout_s=60.0, **options):
    return process.run(task, *arguments, title="the task", timeout_s=timeout_s, **options)


def test_what_a_worker_prints_is_kept_for_its_failure_alone(capfd):
    with pytest.raises(process.WorkerFailed) as error:
        run(print_and, ValueError("bad"))
    native = ["from native code"] * 3 + ["an error"]
    assert sorted(error.value.printed) == sorted(["from\\x1b Python", *native])
    with pytest.raises(process.WorkerFailed, match="crashed with SIGABRT") as error:
        run(print_and_die)
    assert error.value.printed == ["double free"]
    run(print_and, None)
    assert capfd.readouterr() == ("", "")


def test_a_worker_whose_run_was_interrupted_at_its_start_ends_without_a_word(capfd):
    child = os.fork()
    if child == 0:
        process._print_into("/no/such/file")
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 1
    assert capfd.readouterr() == ("", "")


def test_unsupported_is_a_separate_error():
    with pytest.raises(process.WorkerUnsupported, match="^the task failed: no converter for hardswish$"):
        run(raise_unsupported)
    with pytest.raises(process.WorkerFailed) as error:
        run(raise_user_error)
    assert not isinstance(error.value, process.WorkerUnsupported)


def test_the_result_comes_from_another_process():
    assert run(double, 21) == 42
    assert run(process_id) != os.getpid()
    assert run(process_id) != run(process_id), "each task starts from a fresh process"


def test_where_memory_runs_out_the_kernel_takes_the_worker_and_not_the_run():
    assert run(eagerness_to_be_killed) == 1000 > eagerness_to_be_killed()


@pytest.mark.parametrize(
    "task, arguments, expected",
    [
        (raise_value_error, (), r"the task failed: ValueError: a bad value \(at test_process.py:\d+\)"),
        (raise_escape, (), r"the task failed: ValueError: a\\x1b\[2J b \(at test_process.py:\d+\)"),
        (raise_user_error, (), r"the task failed: weights.pth is truncated; fetch it again"),
        (die, (signal.SIGSEGV,), r"the task crashed with SIGSEGV"),
        (die, (signal.SIGKILL,), r"the task was killed \(SIGKILL\), (but not by the OOM killer|perhaps .*)"),
        (leave, (), r"the task ended without a result, exit code 3"),
    ],
)
def test_a_failing_worker_gives_its_reason_in_one_line(task, arguments, expected):
    with pytest.raises(process.WorkerFailed, match=f"^{expected}$"):
        run(task, *arguments)


@pytest.mark.parametrize(
    "before, now, said",
    [
        (3, 4, "was killed (SIGKILL), because memory ran out"),
        (3, 3, "was killed (SIGKILL), but not by the OOM killer"),
        (None, 4, "was killed (SIGKILL), perhaps by the OOM killer; if so, use smaller --batch-sizes"),
        (3, None, "was killed (SIGKILL), perhaps by the OOM killer; if so, use smaller --batch-sizes"),
    ],
)
def test_only_the_kernels_own_count_makes_a_kill_one_for_memory(monkeypatch, before, now, said):
    monkeypatch.setattr(process, "_kills_for_memory", lambda: now)
    assert process._death(-signal.SIGKILL, before) == said
    assert bool(shortage(process.WorkerFailed(said))) == (before == 3 and now == 4)


@pytest.mark.parametrize("text, kills", [("pgfault 9\noom_kill 2\n", 2), ("pgfault 9\n", None), ("oom_kill\n", None)])
def test_the_kernels_count_is_read_or_unknown(tmp_path, text, kills):
    path = tmp_path / "vmstat"
    assert process._kills_for_memory(path) is None
    path.write_text(text)
    assert process._kills_for_memory(path) == kills


@pytest.mark.parametrize("error", [None, ValueError("a bad value"), UserError("truncated")])
def test_warnings_are_not_printed_and_come_with_the_failure(error, capfd):
    if error is None:
        run(warn, error)
    else:
        with pytest.raises(process.WorkerFailed) as caught:
            run(warn, error)
        (line,) = caught.value.warnings
        assert line.startswith("FutureWarning: a constant from here on (at test_process.py:")
    assert "a constant" not in "".join(capfd.readouterr())


def test_a_hanging_worker_is_stopped():
    clock = time.monotonic()
    with pytest.raises(process.WorkerFailed, match="took longer than 1 s and was stopped; .*--case-timeout"):
        run(sleep, 60, timeout_s=1.0)
    assert time.monotonic() - clock < 10


def test_waiting_is_reported():
    waited = []
    run(sleep, 1.0, waiting=lambda seconds, stage: waited.append(seconds))
    assert waited and waited == sorted(waited) and waited[-1] < 30


def test_what_a_worker_reports_is_passed_on():
    stages = []
    assert run(reporting, 3, waiting=lambda seconds, stage: stages.append(stage)) == "done"
    reported = [stage for stage in stages if stage]  # None while the worker starts, if that takes longer than a wait.
    assert reported[0] == "step 1 of 3" and reported[-1] == "step 3 of 3"
    process.report("outside of a worker nobody listens")


def test_an_interrupted_wait_leaves_no_worker(monkeypatch):
    def interrupt(seconds, stage):
        raise KeyboardInterrupt

    run(double, 1)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt):
        run(sleep, 60, waiting=interrupt)
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


def test_a_worker_whose_run_was_killed_ends_with_it():
    """As the kernel does for a killed run, its end of the worker's pipe is closed."""
    process.warm_server()
    receiver, sender = process._context().Pipe(duplex=False)
    worker = process._context().Process(target=process._serve, args=(sender, time.sleep, (60,)), daemon=True)
    worker.start()
    found = psutil.Process(worker.pid)
    worker._popen.finalizer()
    worker._popen.returncode = -signal.SIGKILL  # multiprocessing would look for it at the end that is closed.
    found.wait(10)
