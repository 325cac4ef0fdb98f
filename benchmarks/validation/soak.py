"""Proof of soaks: how many leaks are found, and how many processes without one raise an alarm.

From the repository's root, on a CPU or a GPU:

    python -m benchmarks.validation.soak [--device cuda:0] [--models A,B] [--twins X,Y] [--seconds 60] [--clean 30]
        [--leaking 5] [--openings 100] [--json FILE]

Models and twins take turns. Each run does what `--soak` does: a fresh worker makes steady calls, and another opens the
engine again and again. Leaks are injected into the twin in its worker: each call keeps 4 KiB of host memory, each
opening 64 KiB, and on a GPU each opening keeps 1 MiB of device memory. Exit code 1 if a leak is missed, or if a run
without one raises an alarm or changes its outputs. docs/soak.md has its output.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy

from twins.backends import TWINS
from twins.checks.field import soak as check
from twins.common.build_options import DEFAULT
from twins.judge.field import soak as judge
from twins.judge.field.soak import amount
from twins.measure.field.soak import Sample
from twins.models.weights import decide
from twins.models.zoo import find
from twins.run import process, worker
from twins.run.worker import Job

KIB, MIB = 2**10, 2**20
LIMIT_S = 600.0
# By name: bytes that a twin keeps per call, per opening, and per opening on the device; and the memory in which that
# must be found.
LEAKS: Dict[str, Tuple[int, int, int, str]] = {
    "none": (0, 0, 0, ""),
    "4 KiB a call": (4 * KIB, 0, 0, judge.CALLS_HOST),
    "64 KiB an opening": (0, 64 * KIB, 0, judge.OPENINGS_HOST),
    "1 MiB of the device an opening": (0, 0, MIB, judge.OPENINGS_DEVICE),
}
TITLES = "leak|model and twin|calls|openings|host, per call|per opening|device, per call|per opening|"
HEADER = f"| {' | '.join(TITLES.split('|'))} |"

_kept: List[Any] = []


def main(asked: argparse.Namespace) -> int:
    """Prints a row per run and the counts; returns 1 if a leak was missed or an alarm was false."""
    print(HEADER, f"{'|---' * (HEADER.count('|') - 1)}|", sep="\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        jobs = list(_jobs(asked, Path(folder)))
        for leak, (_, per_opening, on_device, _) in LEAKS.items():
            runs = asked.clean if leak == "none" else asked.leaking
            stored = [(job, path) for job, path in jobs if path is not None]
            able = stored if per_opening or on_device else jobs
            if on_device and asked.device == "cpu":
                continue
            for job, path in itertools.islice(itertools.cycle(able), runs if able else 0):
                rows.append(_row(leak, job, path, asked))
                print(_line(rows[-1]), flush=True)
    missed = [row for row in rows if not row["right"]]
    for leak in dict.fromkeys(row["leak"] for row in rows):
        of_leak = [row for row in rows if row["leak"] == leak]
        found = sum(row["found"] for row in of_leak)
        print(f"{leak}: {'alarms' if leak == 'none' else 'found'} in {found} of {len(of_leak)} runs")
    if asked.json:
        Path(asked.json).write_text(json.dumps(rows, indent=1))
    return int(bool(missed))


def _jobs(asked: argparse.Namespace, folder: Path) -> Iterator[Tuple[Job, Optional[Path]]]:
    """Each model and twin, its engine built once."""
    example = numpy.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(numpy.float32)
    for name, twin in itertools.product(asked.models, asked.twins):
        spec = find(name)
        weights = _in_worker(worker.weights_of, name, decide("calibrated", [spec]), folder)
        job = Job(name, twin, weights.path, example, asked.device, DEFAULT)
        suffix = TWINS[twin].module.ENGINE_SUFFIX
        place = folder / f"{name}-{twin}"
        place.mkdir()
        path = place / f"artefact{suffix}" if suffix else None
        if path is not None:
            _in_worker(worker.build, job, path)
        yield job, path


def _in_worker(task: Callable[..., Any], *arguments: Any) -> Any:
    return process.run(task, *arguments, title="proof of soaks", timeout_s=LIMIT_S)


def _row(leak: str, job: Job, path: Optional[Path], asked: argparse.Namespace) -> Dict[str, Any]:
    """One run: what grew, whether it raised an alarm, and whether that is right."""
    found = _in_worker(leaking, leak, check.steady, job, path, asked.seconds)
    openings: List[Sample] = []
    if path is not None:
        openings = _in_worker(leaking, leak, check.reopened, job, path, asked.openings, check.OPENINGS_LIMIT_S)
    growths = judge.growths(found["samples"], openings, found["device_source"])
    leaks = [name for name, one in growths.items() if one.leaks]
    same = _same([*found["first"], *found["last"]])
    wanted = [LEAKS[leak][-1]] if LEAKS[leak][-1] else []
    return {
        "leak": leak,
        "case": f"{job.model} {job.twin}",
        "calls": found["samples"][-1].calls,
        "openings": openings[-1].calls if openings else 0,
        "growths": {name: one.per_call_bytes for name, one in growths.items()},
        "whole_bytes": {name: one.whole_bytes for name, one in growths.items()},
        "finds_from_bytes": {name: one.finds_from_bytes for name, one in growths.items()},
        "leaks": leaks,
        "same_outputs": same,
        "found": leaks == wanted if wanted else bool(leaks),
        "right": leaks == wanted and same and judge.CALLS_HOST in growths,
    }


def leaking(leak: str, task: Callable[..., Any], job: Job, *arguments: Any) -> Any:
    """The task on a twin that leaks; called in a worker."""
    per_call, per_opening, on_device, _ = LEAKS[leak]
    module = TWINS[job.twin].module

    def opened(make: Callable[[Any], Any], request: Any) -> Any:
        if per_opening:
            _kept.append(os.urandom(per_opening))
        if on_device:
            _kept.append(_device_memory(job.run_device, on_device))
        running = make(request)
        return _Leaking(running, per_call) if per_call else running

    for name in ("build", "load"):
        if hasattr(module, name):
            setattr(module, name, partial(opened, getattr(module, name)))
    return task(job, *arguments)


class _Leaking:
    """A twin that keeps this many bytes per call."""

    def __init__(self, twin: Any, size: int) -> None:
        self._twin, self._size, self.close = twin, size, twin.close

    def __call__(self, batch: Any) -> Any:
        _kept.append(os.urandom(self._size))
        return self._twin(batch)


def _device_memory(run_device: str, size: int) -> Any:
    """Memory that torch's allocator does not reuse, like a context's own."""
    import torch

    torch.cuda.synchronize(run_device)
    return torch.cuda.caching_allocator_alloc(size, run_device)


def _same(outputs: List[Dict[str, Any]]) -> bool:
    return all(numpy.array_equal(array, one[name]) for one in outputs for name, array in outputs[0].items())


def _line(row: Dict[str, Any]) -> str:
    names = (judge.CALLS_HOST, judge.OPENINGS_HOST, judge.CALLS_DEVICE, judge.OPENINGS_DEVICE)
    cells = [amount(row["growths"][name]) if name in row["growths"] else "–" for name in names]
    verdict = ", ".join(judge.NAMED[name] for name in row["leaks"]) or "no alarm"
    outputs = "" if row["same_outputs"] else "; outputs changed"
    wrong = "" if row["right"] else " **wrong**"
    parts = [row["leak"], row["case"], str(row["calls"]), str(row["openings"]), *cells, f"{verdict}{outputs}{wrong}"]
    return f"| {' | '.join(parts)} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    names: Callable[[str], List[str]] = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--device", default="cpu", metavar="cuda:0")
    parser.add_argument("--models", type=names, default=["mobilenet_v2"], metavar="A,B")
    parser.add_argument("--twins", type=names, default=["onnxruntime_fp32", "eager_fp32"], metavar="X,Y")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clean", type=int, default=30, help="runs without a leak (default: 30)")
    parser.add_argument("--leaking", type=int, default=5, help="runs of each leak (default: 5)")
    parser.add_argument("--openings", type=int, default=check.OPENINGS)
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
