"""Measures on real runs how often the gate gives false alarms and finds real regressions; results in docs/gating.md.

    python benchmarks/validation/gating.py collect RUNS-FOLDER --runs 30    # some 100 s a run on two cores
    python benchmarks/validation/gating.py judge RUNS-FOLDER                # prints the tables

A run is the suite's timed tests on the seven classifiers and, by default, ONNX Runtime on the CPU, with the suite's
default threads and seconds; `--twins tensorrt_rtx_fp16` needs a GPU. `collect` adds runs to those already in the
folder. False alarms are counted over neighbouring runs, over all pairs of runs, and over runs resampled from the blocks
of real ones; then a slow-down, more memory and larger errors are injected.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from twins.compare.deciding.gate import PASS, REGRESSION  # noqa: E402
from twins.compare.deciding.report import Report, make_report  # noqa: E402
from twins.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate  # noqa: E402
from twins.compare.judging.verdict import WORSE  # noqa: E402
from twins.compare.reading.load import load_file  # noqa: E402
from twins.compare.reading.merge import merge  # noqa: E402
from twins.compare.reading.metrics import GPU_TIME, LATENCY, SCALARS, Metric  # noqa: E402
from twins.compare.reading.run import Blocks, Name, Run, Timing  # noqa: E402

TESTS = "latency,end_to_end"
MODELS = "alexnet,googlenet,inception_v3,mobilenet_v2,resnet18,resnet50,vgg16"
# Those of them whose latency is compared.
TIMED = ("test_latency", "test_end_to_end")
GATE = parse_gate(DEFAULT_FAIL_ON)
RESAMPLED = 400
SLOW_DOWNS = (1.05, 1.1, 1.2)
FOLDERS = (2, 4, 8)

Pair = Tuple[Run, Run]


def collect(folder: Path, runs: int, models: str, names: str, tests: str) -> None:
    """Adds this many runs of these tests on these twins, one file each. Engines are built before the first."""
    folder.mkdir(parents=True, exist_ok=True)
    there = len(list(folder.glob("*.json")))
    for number in range(there if there else -1, there + runs):
        path = folder / f"{number:03d}.json"
        command = [sys.executable, "-m", "pytest", *(f"benchmarks/test_{test}.py" for test in tests.split(",")), "-q"]
        command += ["--models", models, "--twins", names, "--weights", "calibrated"]
        command += ["--engine-dir", str(folder / "engines"), "--benchmark-json", str(path)]
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout[-3000:] + done.stderr[-1000:])
        if number < 0:
            path.unlink()
        print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)


def judge(folder: Path) -> None:
    """Prints every table."""
    files = sorted(folder.glob("*.json"))
    runs = [load_file(path) for path in files]
    print(f"{len(runs)} runs of {files[0].name} to {files[-1].name}: {', '.join(sorted(map(str, twins(runs[0]))))}\n")
    scatter(runs)
    noise = numpy.random.default_rng(0)
    neighbours = list(zip(runs, runs[1:]))
    everywhere = [pair if index % 2 else pair[::-1] for index, pair in enumerate(combinations(runs, 2))]
    within = list(resampled_pairs(runs, noise, same_run=True))
    between = list(resampled_pairs(runs, noise, same_run=False))
    kinds = {"neighbours": neighbours, "all pairs": everywhere, "resampled, one run": within,
             "resampled, two runs": between}  # fmt: skip
    kinds.update({f"folders of {size}": list(folders(runs, noise, size)) for size in FOLDERS if 2 * size <= len(runs)})
    print("| pairs of equal runs | comparisons | false alarms | figures unsure |\n|---|---|---|---|")
    for title, pairs in kinds.items():
        print(f"| {title} | {len(pairs)} | {false_alarms(pairs)} |")
    asked = [(test, LATENCY) for test in TIMED] + [(TIMED[0], GPU_TIME)]
    for test, metric in asked:
        if not any(name.test == test for name in runs[0].timed(metric)):
            continue
        print(
            f"\n| {test}, {metric.title}: found WORSE | "
            + " | ".join(f"+{factor - 1:.1%}" for factor in SLOW_DOWNS)
            + " |"
        )
        print("|---" * (1 + len(SLOW_DOWNS)) + "|")
        for title, pairs in kinds.items():
            found = [slow_downs_found(pairs, factor, test, metric) for factor in SLOW_DOWNS]
            print(f"| {title} | {' | '.join(share([word for word, _ in each]) for each in found)} |")
            print(f"| … both runs stable | {' | '.join(share([w for w, still in e if still]) for e in found)} |")
    for metric in SCALARS:
        growth = {"memory": 1.2, "error": 3.0}.get(metric.gate)
        if growth and runs[0].figures[metric.key]:
            print(f"\n{metric.title} × {growth}: {growths_found(neighbours, metric, growth)}", end="")
            print(f"; on the new run's own figure: {growths_found(neighbours, metric, growth, own=True)}")


def twins(run: Run) -> List[Name]:
    """The latencies that are judged."""
    return [name for name in run.timings if not name.is_eager]


def scatter(runs: Sequence[Run]) -> None:
    """Scatter of blocks within a run and of figures between runs: standard deviation of the logarithm.

    The control is eager, or decoding for end-to-end.
    """
    print("| case | blocks: twin | control | ratio | runs: twin | control | ratio |\n|---|---|---|---|---|---|---|")
    for name in twins(runs[0]):
        parts = [run.timings[name].invocations[0] for run in runs if name in run.timings]
        sides = [[numpy.log(part.twin) for part in parts], [numpy.log(part.eager or part.decode) for part in parts]]
        sides.append([twin - eager for twin, eager in zip(*sides)])
        within = [f"{numpy.mean([side.std(ddof=1) for side in each]):.1%}" for each in sides]
        across = [f"{numpy.std([numpy.median(side) for side in each], ddof=1):.1%}" for each in sides]
        print(f"| {name} | {' | '.join(within + across)} |")
    print()


def compared(pair: Pair) -> Report:
    """The report on two runs at the default thresholds."""
    return make_report(pair, GATE, allow_different=False)


def false_alarms(pairs: Sequence[Pair]) -> str:
    """How many pairs are called a regression, why, and how many figures are unsure."""
    reports = [compared(pair) for pair in pairs]
    alarms = [report for report in reports if report.decision.exit_code != PASS]
    why = Counter(reason for report in alarms for reason in report.decision.reasons).most_common(4)
    unsure = [sum(found.verdict == "UNSURE" for found in report.comparison.judgements) for report in reports]
    named = f" ({'; '.join(f'{count} × {reason}' for reason, count in why)})" if why else ""
    return f"{len(alarms)} = {len(alarms) / len(pairs):.1%}{named} | {numpy.mean(unsure):.1f}"


def slow_downs_found(pairs: Sequence[Pair], factor: float, test: str, metric: Metric) -> List[Tuple[bool, bool]]:
    """Slows down one twin after the other. Returns for each whether the comparison becomes a regression by this metric
    of this test, and whether both runs call the timing stable."""
    found = []
    for index, (base, new) in enumerate(pairs):
        timed = [name for name in twins(new) if name.test == test]
        name = timed[index % len(timed)]
        kinds = {"timings": new.timings, "gpu_times": new.gpu_times}
        held = {kind: part for kind, part in kinds.items() if name in part}
        slow = replace(new, **{kind: {**part, name: slowed(part[name], factor)} for kind, part in held.items()})
        report = compared((base, slow))
        (judged,) = [j for j in report.comparison.judgements if (j.name, j.metric) == (name, metric)]
        still = not (base.timed(metric)[name].unstable or new.timed(metric)[name].unstable)
        found.append((judged.verdict == WORSE and report.decision.exit_code == REGRESSION, still))
    return found


def share(found: Sequence[bool]) -> str:
    """Number, total and share of the true values."""
    return f"{sum(found)}/{len(found)} = {numpy.mean(found):.0%}" if found else "none"


def growths_found(pairs: Sequence[Pair], metric: Metric, growth: float, own: bool = False) -> str:
    """How many growths of one figure, one twin after the other, make the comparison a regression of it.

    own: grows the new run's own figure, so that noise between the runs is included. Otherwise the base's, so that only
    the growth is judged.
    """
    found = 0
    for index, (base, new) in enumerate(pairs):
        known = [name for name in new.figures[metric.key] if not name.is_eager]
        name = known[index % len(known)]
        over = (new if own else base).figures[metric.key][name]
        grown = {**new.figures[metric.key], name: over * growth}
        report = compared((base, replace(new, figures={**new.figures, metric.key: grown})))
        found += any((j.name, j.metric, j.verdict) == (name, metric, WORSE) for j in report.comparison.judgements)
    return f"{found} of {len(pairs)} found"


def slowed(timing: Timing, factor: float) -> Timing:
    """The timing of a twin, or its GPU time, multiplied by a factor."""
    slow = []
    for part in timing.invocations:
        run = tuple(own + (factor - 1) * whole for own, whole in zip(part.run, part.twin))
        slow.append(part._replace(twin=tuple(block * factor for block in part.twin), run=run))
    return replace(timing, p50_s=timing.p50_s * factor, invocations=tuple(slow))


def folders(runs: Sequence[Run], noise: numpy.random.Generator, size: int) -> Iterator[Pair]:
    """Pairs of folders of `size` invocations, drawn from the real runs, with no run in both."""
    for _ in range(RESAMPLED):
        drawn = noise.permutation(len(runs))[: 2 * size]
        base, new = ([runs[index] for index in half] for half in numpy.split(drawn, 2))
        yield merge("base", base), merge("new", new)


def resampled_pairs(runs: Sequence[Run], noise: numpy.random.Generator, same_run: bool) -> Iterator[Pair]:
    """Pairs of runs whose blocks are drawn, pair by pair, from those of one real run or of two."""
    for index in range(RESAMPLED):
        first = runs[index % len(runs)]
        others = [run for run in runs if run is not first]
        yield resampled(first, noise), resampled(first if same_run else others[noise.integers(len(others))], noise)


def resampled(run: Run, noise: numpy.random.Generator) -> Run:
    """The run as it could have been with other blocks of the same process."""
    return replace(run, timings={name: _drawn(timing, noise) for name, timing in run.timings.items()})


def _drawn(timing: Timing, noise: numpy.random.Generator) -> Timing:
    (part,) = timing.invocations
    drawn = noise.integers(0, len(part.twin), len(part.twin))
    blocks = Blocks(*(tuple(side[index] for index in drawn) if side else () for side in part))
    return replace(timing, p50_s=float(numpy.median(blocks.twin)), invocations=(blocks,))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "judge"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--twins", default="onnxruntime_fp32")
    parser.add_argument("--tests", default=TESTS)
    asked = parser.parse_args()
    if asked.what == "collect":
        collect(asked.folder, asked.runs, asked.models, asked.twins, asked.tests)
    else:
        judge(asked.folder)
