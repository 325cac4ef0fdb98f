"""How well turns with base's engine tell a slower engine from an equal one; results in docs/gating.md.

    python benchmarks/validation/turns.py collect FOLDER --processes 10    # some 80 s a process on two cores
    python benchmarks/validation/turns.py judge FOLDER

`collect` builds the engines of the seven classifiers once, copies their folder, and times both copies as
`python -m twins.compare --remeasure` does: in turns, in one fresh process after another. The engines are equal, so what
is called WORSE is a false alarm. `judge` takes every choice of as many processes as decide, and then makes one case
after the other slower.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import List, Sequence

import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.validation.gating import MODELS, SLOW_DOWNS, share  # noqa: E402
from twins.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate  # noqa: E402
from twins.compare.judging.shift import BESIDE_PROCESSES, beside_base, levels, twin_to_eager  # noqa: E402
from twins.compare.judging.verdict import WORSE, of_shift  # noqa: E402
from twins.compare.reading.load import load_file  # noqa: E402
from twins.compare.reading.run import Name, Run, Timing  # noqa: E402

TESTS = ("latency", "end_to_end")


def collect(folder: Path, processes: int, twin: str) -> None:
    """Adds so many processes, a file each; the engines are built before the first."""
    folder.mkdir(parents=True, exist_ok=True)
    base, new = folder / "base", folder / "new"
    if not base.exists():
        suite(["startup"], twin, new)
        shutil.copytree(new, base)
    there = len(list(folder.glob("*.json")))
    for number in range(there, there + processes):
        start, path = time.monotonic(), folder / f"{number:03d}.json"
        tests = [f"{test}_beside_base" for test in TESTS]
        suite(tests, twin, new, "--beside-engines", str(base), "--benchmark-json", str(path))
        print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)


def suite(tests: Sequence[str], twin: str, engines: Path, *options: str) -> None:
    """Runs these tests of the suite; ends with its output if they fail."""
    command = [sys.executable, "-m", "pytest", *(f"benchmarks/test_{test}.py" for test in tests), "-q", *options]
    command += ["--models", MODELS, "--twins", twin, "--weights", "calibrated", "--engine-dir", str(engines)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-1000:])


def judge(folder: Path) -> None:
    """Prints the spread between processes, false alarms, and how many slow-downs are found."""
    runs = [load_file(path) for path in sorted(folder.glob("*.json"))]
    names = list(runs[0].beside_base)
    cases = len(names)
    print(f"{len(runs)} processes, {cases} cases\n\n| case | change, % | between processes, % |\n|---|---|---|")
    for name in names:
        logs = [levels(run.beside_base[name], twin_to_eager)[0] for run in runs]
        print(f"| {name} | {numpy.mean(logs):+.1%} | {numpy.std(logs, ddof=1):.1%} |")
    for count in range(BESIDE_PROCESSES, len(runs)):
        chosen = list(combinations(runs, count))[:500]
        found = {factor: [words(some, name, cases, factor) for some in chosen for name in names]
                 for factor in (1.0, *SLOW_DOWNS)}  # fmt: skip
        told = ", ".join(f"+{factor - 1:.0%}: {share(hits)}" for factor, hits in found.items())
        print(f"{count} processes, WORSE of equal engines and of slower ones: {told}")


def words(runs: Sequence[Run], name: Name, cases: int, factor: float) -> bool:
    """Whether these processes call the case WORSE if the new engine takes so many times as long."""
    timings: List[Timing] = [run.beside_base[name] for run in runs]
    blocks = [
        part._replace(twin=tuple(block * factor for block in part.twin))
        for timing in timings
        for part in timing.invocations
    ]
    shift = beside_base(replace(timings[0], invocations=tuple(blocks)), cases)
    assert shift is not None
    return of_shift(shift, parse_gate(DEFAULT_FAIL_ON).limits["latency"], cases) == WORSE


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "judge"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--twin", default="onnxruntime_fp32")
    asked = parser.parse_args()
    collect(asked.folder, asked.processes, asked.twin) if asked.what == "collect" else judge(asked.folder)
