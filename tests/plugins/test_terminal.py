"""A run in a real pseudo-terminal: progress shows while it builds, nothing wraps, and the verdict comes last."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time

import pytest

SLOW = """
import time
import torch
from torch import nn
from torchvision import transforms as T
from fixtures.models import ModelSpec


class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 4)

    def forward(self, x):
        if torch.onnx.is_in_onnx_export():
            time.sleep(3)
        return self.linear(x.flatten(1))


def build():
    torch.manual_seed(0)
    return Slow()


MODEL = ModelSpec("slow", task="tensor", builder=build, preprocess=T.Compose([T.Resize([8, 8]), T.ToTensor()]))
"""
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def in_terminal(columns, arguments, cwd):
    """The exit code, and [(seconds, text)] as a terminal with this many columns got it."""
    child, descriptor = pty.fork()
    if child == 0:
        os.chdir(cwd)
        for name in ("COLUMNS", "PYTEST_ADDOPTS", "CI"):
            os.environ.pop(name, None)
        os.environ.update(TERM="xterm", PYTEST_ADDOPTS="-p no:hypothesispytest")
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    begin, seen = time.monotonic(), []
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # The other end is closed.
            break
        if not data:
            break
        seen.append((time.monotonic() - begin, data))
    os.close(descriptor)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status) if hasattr(os, "waitstatus_to_exitcode") else status >> 8, seen


@pytest.fixture(scope="module")
def seen(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "slow.py").write_text(SLOW)
    arguments = [
        "benchmarks",
        "--model-file",
        str(folder / "slow.py"),
        "--models",
        "slow",
        "--twins",
        "onnxruntime_fp32",
    ]
    arguments += ["-k", "agreement or latency or end_to_end", "--engine-dir", str(folder / "engines")]
    code, found = in_terminal(80, [*arguments, "--benchmark-max-time", "0.02", "-p", "no:cacheprovider"], root)
    text = b"".join(data for _, data in found).decode()
    assert code == 0, text
    return found, CODES.sub("", text).replace("\r\n", "\n")


def test_a_long_build_is_seen_while_it_goes_on(seen):
    found, text = seen
    times = [at for at, data in found if "build of slow onnxruntime_fp32 … " in data.decode(errors="replace")]
    assert len(times) >= 2 and times[-1] - times[0] > 0.5, "it ticks"
    assert re.search(r"\rbuild of slow onnxruntime_fp32 … [23] s", text)
    assert re.search(r"build of slow onnxruntime_fp32 took [3-9] s\n", text)


def test_nothing_is_wider_than_the_terminal(seen):
    lines = [part for line in seen[1].split("\n") for part in line.split("\r")]
    assert [line for line in lines if len(line) > 80] == []


def test_the_verdict_comes_last_and_pytest_benchmark_s_table_not_at_all(seen):
    lines = [line for line in seen[1].split("\n") if line.strip()]
    assert re.match(r"=+ \d passed, \d+ deselected in", lines[-1])
    (heading,) = [place for place, line in enumerate(lines) if re.fullmatch(r"=+ verdict =+", line)]
    # Reasons that a loaded machine adds may continue on lines of their own.
    verdicts = [line for line in lines[heading + 1 : -1] if not line.startswith("      ")]
    assert [line.partition(" test")[0] for line in verdicts] == [
        " PASS slow eager_fp32: 2", " PASS slow onnxruntime_fp32: 3"
    ]  # fmt: skip
    assert "Rounds" not in seen[1] and "StdDev" not in seen[1]
