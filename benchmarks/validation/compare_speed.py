"""How long the whole command that compares runs takes, including imports. Results are in docs/gating.md.

    python benchmarks/validation/compare_speed.py RUN.json    # one of those that gating.py collects

The run's cases are repeated under other model names until there are 100 latencies. Then 2 and 50 such runs are
compared.
"""

from __future__ import annotations

import copy
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("mobilenet_v2", "resnet18")
CASES, HISTORY = 100, 50


def speed(document: Dict[str, Any]) -> None:
    """Seconds of the whole command on runs of 100 cases."""
    print(f"\n| runs of {CASES} cases | terminal | with --markdown, --json and --html |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = json.dumps(enlarged(document))
        for number in range(HISTORY):
            (folder / f"{number:02d}.json").write_text(text)
        written = [f"--{kind}={folder / kind}" for kind in ("markdown", "json", "html")]
        for title, paths in (("2", ["00.json", "01.json"]), (str(HISTORY), [""])):
            command = [sys.executable, "-m", "twins.compare", *(str(folder / path) for path in paths)]
            took = f"{timed(command)} | {timed([*command, *written])}"
            print(f"| {title} ({len(text) >> 10} KiB each) | {took} |")


def timed(command: Sequence[str]) -> str:
    """Wall-clock and CPU seconds, the best of three, because other work can only add time."""

    def once() -> Tuple[float, float]:
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.perf_counter() - start, cpu_s

    clock_s, cpu_s = map(min, zip(*(once() for _ in range(3))))
    return f"{clock_s:.1f} s ({cpu_s:.1f} s of CPU)"


def enlarged(document: Dict[str, Any]) -> Dict[str, Any]:
    """The run with its cases repeated under other model names until there are 100 latencies."""
    document = copy.deepcopy(document)
    suite = document["suite"]
    copies = -(-CASES // len(document["benchmarks"]))

    def renamed(rows: List[Any]) -> List[Any]:
        text = json.dumps(rows)
        texts = [re.sub(f"({'|'.join(MODELS)})", rf"\1_{number}", text) for number in range(copies)]
        return [row for one in texts for row in json.loads(one)]

    document["benchmarks"] = renamed(document["benchmarks"])[:CASES]
    for section in ("agreement", "accuracy", "predictions", "startup", "mutants", "cases"):
        suite[section] = renamed(suite[section])
    return document


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/validation/compare_speed.py RUN.json")
    speed(json.loads(Path(sys.argv[1]).read_text()))
