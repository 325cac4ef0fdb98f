"""How often a comparison with --remeasure is right, on real runs that gating.py collects; results in docs/gating.md.

    python benchmarks/validation/remeasuring.py RUNS-FOLDER

Each comparison takes one run as base and the next as new. Where `--remeasure` would time doubtful cases again, it takes
the runs after those, which were also measured in fresh processes. Equal runs count false alarms. Then one case of the
new side is made slower in every one of its runs. The time limit for measuring again counts what timing this many cases
takes: START_S and CASE_S.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.validation.gating import GATE, SLOW_DOWNS, share, slowed, twins  # noqa: E402
from twins.compare.deciding.gate import NO_REGRESSION, REGRESSED, UNDECIDED  # noqa: E402
from twins.compare.deciding.report import Report, make_report  # noqa: E402
from twins.compare.judging.verdict import WORSE  # noqa: E402
from twins.compare.reading.load import load_file  # noqa: E402
from twins.compare.reading.run import Name, Run  # noqa: E402
from twins.compare.remeasure import remeasured  # noqa: E402

# Seconds that `pytest benchmarks/test_latency.py benchmarks/test_end_to_end.py` takes to start, and for each case, on
# the two cores of docs/gating.md with a warm cache.
START_S, CASE_S = 10.0, 6.5
# The default of --remeasure-s.
BUDGET_S = 600.0
BASE, NEW = Path("base"), Path("new")


def compared(runs: Sequence[Run], slow: Optional[Name], factor: float, budget_s: float) -> Tuple[Report, int]:
    """The report on the first two runs, with later ones as further measurements, and how many of those were needed."""
    later = iter(runs[2:])
    spent = [0.0, 0]

    def measure(folder: Path, names: Sequence[Name]) -> Run:
        spent[0] += START_S + CASE_S * len(names)
        spent[1] += 1
        run = next(later)
        models = {name.model for name in names}
        kinds = {"timings": run.timings, "gpu_times": run.gpu_times}
        asked = {
            kind: {name: part for name, part in parts.items() if name.model in models} for kind, parts in kinds.items()
        }
        run = replace(run, **asked)
        return slower(run, slow, factor) if folder == NEW else run

    report = remeasured(
        (runs[0], slower(runs[1], slow, factor)),
        (BASE, NEW),
        budget_s,
        lambda pair: make_report(pair, GATE, allow_different=False),
        measure,
        lambda line: None,
        # Measuring also ends when the runs do: another turn needs two.
        lambda: spent[0] if spent[1] + 4 <= len(runs) else float("inf"),
    )
    return report, int(spent[1])


def slower(run: Run, name: Optional[Name], factor: float) -> Run:
    """The run with this case slower by the factor, on the GPU too; unchanged without a name."""
    if name is None:
        return run
    kinds = {"timings": run.timings, "gpu_times": run.gpu_times}
    held = {kind: part for kind, part in kinds.items() if name in part}
    return replace(run, **{kind: {**part, name: slowed(part[name], factor)} for kind, part in held.items()})


def orders(runs: Sequence[Run], noise: numpy.random.Generator, drawn: int) -> Iterator[List[Run]]:
    """The runs in their order, starting with each in turn; then this many random orders."""
    for start in range(len(runs)):
        yield list(islice(cycle(runs), start, start + len(runs)))
    for _ in range(drawn):
        yield [runs[index] for index in noise.permutation(len(runs))]


def outcomes_of(found: Sequence[Tuple[Report, int]]) -> str:
    """How the comparisons ended, and how many further runs they took."""
    outcomes = Counter(report.decision.outcome for report, _ in found)
    counts = " | ".join(f"{outcomes[word]} = {outcomes[word] / len(found):.1%}"
                        for word in (NO_REGRESSION, UNDECIDED, REGRESSED))  # fmt: skip
    return f"{counts} | {numpy.mean([turns for _, turns in found]):.1f}"


def main(folder: Path, drawn: int, budget_s: float) -> None:
    """Prints both tables."""
    runs = [load_file(path) for path in sorted(folder.glob("*.json"))]
    names = twins(runs[0])
    print(f"{len(runs)} runs, {len(names)} timed cases of twins; {budget_s:.0f} s of measuring again\n")
    series = list(orders(runs, numpy.random.default_rng(0), drawn))
    print("| equal runs | comparisons | no regression | undecided | false alarm | further runs |\n" + "|---" * 6 + "|")
    for title, some in (("as they came", series[: len(runs)]), ("in random order", series[len(runs) :])):
        for budget, word in ((0.0, "two runs alone"), (budget_s, "with --remeasure")):
            found = [compared(each, None, 1.0, budget) for each in some]
            print(f"| {title}, {word} | {len(found)} | {outcomes_of(found)} |", flush=True)
            why = Counter(reason for report, _ in found if report.decision.outcome == REGRESSED
                          for reason in report.decision.reasons)  # fmt: skip
            for reason, count in why.most_common(5):
                print(f"  {count} × {reason}")
            open_ones = Counter(reason for report, _ in found if report.decision.outcome == UNDECIDED
                                for reason in report.decision.reasons)  # fmt: skip
            for reason, count in open_ones.most_common(5):
                print(f"  {count} × {reason}")
    print("\n| slower | found WORSE, with --remeasure |\n|---|---|")
    for factor in SLOW_DOWNS:
        found = []
        for index, each in enumerate(series):
            name = names[index % len(names)]
            report, _ = compared(each, name, factor, budget_s)
            assert report.comparison is not None
            words = [one for one in report.comparison.judgements if one.name == name and one.verdict == WORSE]
            found.append((name, report.decision.outcome == REGRESSED and bool(words)))
        print(f"| +{factor - 1:.0%} | {share([hit for _, hit in found])} |", flush=True)
        for test in sorted({name.test for name in names}):
            print(f"  {test}: {share([hit for name, hit in found if name.test == test])}")
        missed = Counter(str(name) for name, hit in found if not hit)
        print(f"  missed: {', '.join(f'{count} × {name}' for name, count in missed.most_common(6))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--drawn", type=int, default=100)
    parser.add_argument("--budget-s", type=float, default=BUDGET_S)
    asked = parser.parse_args()
    main(asked.folder, asked.drawn, asked.budget_s)
