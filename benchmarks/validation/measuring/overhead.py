"""Overhead: through the suite's timed call, pytest-benchmark records the same time as a bare loop over the model."""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from benchmarks.validation.measuring.proof import Proof, eager_and_twin
from twins.measure.latency import synchronised, warm_up

BLOCKS, CALLS = 60, 5
LIMITS = {"cpu": 0.03, "cuda": 0.05}
MODELS = ("mobilenet_v2", "resnet18")


class Case:
    """A pytest plugin and fixture: the suite's timed call and a bare loop, in alternating blocks."""

    rounds = BLOCKS * CALLS

    def __init__(self, call: Any, settle: Any, bare: Any) -> None:
        self.call, self.settle, self.bare = call, settle, bare
        self.bare_s: List[float] = []
        self.recorded_s: List[float] = []

    @pytest.fixture
    def overhead_case(self) -> Case:
        """Returns itself, for the test in case.py."""
        return self

    def blocks(self) -> Iterator[None]:
        """Runs before each round of the suite's call; before each block of rounds it times a block of the bare loop."""
        for number in range(self.rounds):
            if number % CALLS == 0:
                self.bare(), self.settle()  # The first call after a switch does not count on either side.
                for _ in range(CALLS):
                    start = time.perf_counter()
                    self.bare()
                    self.settle()
                    self.bare_s.append(time.perf_counter() - start)
                self.call()
            self.settle()
            yield


def prove(run_device: str) -> List[Proof]:
    """Measures each model, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return [_prove(model, run_device, Path(folder)) for model in MODELS]


def _prove(model: str, run_device: str, folder: Path) -> Proof:
    import torch

    eager, twin, images = eager_and_twin(model, run_device, folder)
    if run_device == "cpu":  # The bare loop calls the module, or the graph on a GPU, where 0.5 ms matter.
        call, settle = synchronised(eager, images, run_device)
        inner = eager.model

        def bare() -> None:
            with torch.inference_mode():
                inner(images)
    else:
        call, settle = synchronised(twin, images, run_device)

        def bare() -> None:
            twin._input.copy_(images)
            twin._graph.replay()

    warm_up(call)
    case = Case(call, settle, bare)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = pytest.main([str(Path(__file__).with_name("case.py")), "-q", "-p", "no:cacheprovider"], plugins=[case])
    if code:
        raise RuntimeError(f"the timed test ended with exit code {int(code)}:\n{printed.getvalue()}")
    recorded, plain = statistics.median(case.recorded_s), statistics.median(case.bare_s)
    limit = LIMITS[run_device.partition(":")[0]]
    data: Dict[str, Any] = {"recorded_s": recorded, "bare_s": plain, "rounds": len(case.recorded_s)}
    got = f"{recorded * 1e3:.3f} ms recorded, {plain * 1e3:.3f} ms in a bare loop, {recorded / plain - 1:+.2%}"
    return Proof(f"overhead, {model}", abs(recorded / plain - 1) <= limit, got, f"{limit:.0%}", data)
