"""Whole runs of pytest without their imports: forked from a process that has torch already, seconds cheaper each.

A run has a process, arguments, folder, environment and streams of its own, as `python -m pytest` would; so has the
server that its workers are forked from. What differs: modules are imported before the run begins. Runs whose point is
what is imported, or that end by a signal, start the real command.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

# None of them starts a thread when it is imported. Nothing of fixtures/: pytest rewrites its assertions at import.
IMPORTED = ("torch", "torchvision", "onnxruntime", "onnx", "onnxscript", "pytest", "rich.table", "psutil")
OURS = ("twins", "fixtures", "benchmarks", "tests", "conftest")
TIMEOUT_S = 170.0

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@contextlib.contextmanager
def server(root: Path, scratch: Path) -> Iterator[Run]:
    """run(arguments, cwd=root, environment={}) -> the finished process of `python -m pytest ARGUMENTS`.

    environment: what the run's differs by from this process's at the time of the call. scratch: a folder for streams.
    Raises subprocess.TimeoutExpired after TIMEOUT_S.
    """
    command = [sys.executable, "-m", "tests.helpers.suite_runs"]
    process = subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin and process.stdout

    def run(
        arguments: Sequence[str], cwd: Path = root, environment: Optional[Dict[str, str]] = None
    ) -> subprocess.CompletedProcess[str]:
        streams = [scratch / "stdout", scratch / "stderr"]
        job = {"arguments": list(map(str, arguments)), "cwd": str(cwd), "streams": list(map(str, streams))}
        job["environment"] = {**os.environ, **(environment or {})}
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], TIMEOUT_S)[0]:
            raise subprocess.TimeoutExpired(job["arguments"], TIMEOUT_S)
        line = process.stdout.readline()
        assert line, "the process that runs are forked from has died"
        texts = [stream.read_text(encoding="utf-8", errors="replace") for stream in streams]
        return subprocess.CompletedProcess(job["arguments"], int(line), *texts)

    try:
        yield run
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _serve() -> None:
    """One run for each line of stdin; its exit code, negative for a signal, is a line of stdout."""
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            __import__(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)


def _run(job: Dict[str, Any]) -> None:
    """Does the job in this process, which ends."""
    code = 70
    try:
        for number, path in zip((0, 1, 2), (os.devnull, *job["streams"])):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            opened = os.open(path, flags, 0o600)
            os.dup2(opened, number)
            os.close(opened)
        os.chdir(job["cwd"])
        os.environ.clear()
        os.environ.update(job["environment"])
        sys.argv = ["pytest", *job["arguments"]]
        import multiprocessing.util

        multiprocessing.util.spawnv_passfds = _forked
        import pytest

        code = int(pytest.main(job["arguments"]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _forked(path: str, arguments: List[bytes], kept: Sequence[int]) -> int:
    """multiprocessing's way to start its helpers, by a fork of this process in the place of a new interpreter.

    Of the open files only `kept` and the streams go along: a helper ends when its end of a pipe is the last.
    """
    child = os.fork()
    if child:
        return child
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2 and number != nowhere and number not in set(map(int, kept)):
                with contextlib.suppress(OSError):  # The one that listed them.
                    os.dup2(nowhere, number)  # Not closed: its number must not become another file's.
        for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
            del sys.modules[name]  # What the run has made of them, such as models added to the zoo.
        exec(arguments[-1], {"__name__": "__main__"})
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve()
