"""Proof of sizes: errors of one engine at its smallest, optimal and largest size, and what a switch of size costs.

From the repository's root, on a CPU or a GPU:

    python -m benchmarks.validation.sizes [--device cuda:0] [--twins X,Y] [--json FILE] [MODEL ...]

Calibrated weights of seed 0. A row holds if the first call after each switch and all images agree with eager, and if
both mutants, the shape and the data of the previous size, are refused. Exit code 1 if a row does not hold.
docs/sizes.md has its output.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List

from benchmarks.validation.seeded import Seeded, precision_of
from twins.backends import REFERENCE, TWINS, unavailable
from twins.checks.field import sizes as check
from twins.common import inputs
from twins.common.build_options import BuildOptions
from twins.judge.field.sizes import shown as size_shown
from twins.judge.field.sizes import sizes_agree
from twins.models.zoo import find
from twins.mutants.sizes import SIZE_MUTANTS

# A segmenter, a detector and a classifier; the optimal size is that of their preprocessing.
SIZES = {
    "lraspp_mobilenet_v3_large": ((128, 128), (256, 256), (512, 512)),
    "ssdlite320_mobilenet_v3_large": ((256, 256), (320, 320), (448, 512)),
    "resnet18": ((160, 160), (224, 224), (320, 384)),
}
TITLES = ("model", "twin", "size", "max error", "tolerance", "first call after a switch ms", "then ms", "mutants", "")
HEADER = f"| {' | '.join(TITLES)} |\n{'|---' * len(TITLES)}|"


def main(asked: argparse.Namespace) -> int:
    """Prints a row for each model, twin and size; returns 1 if one does not hold."""
    print(HEADER)
    rows: List[Dict[str, Any]] = []
    for name in asked.models:
        case = Seeded(find(name), 0, asked.device, step=7)
        for twin in asked.twins:
            for row in proven(case, twin, SIZES[name], asked.device):
                rows.append({"model": name, "twin": twin, **row})
                print(shown(rows[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))
    return int(not rows or not all(row["held"] for row in rows))


def proven(case: Seeded, twin: str, sizes: Any, device: str) -> List[Dict[str, Any]]:
    """A row for each size, or one with `failed` if the twin cannot be built or run."""
    spec = TWINS[twin]
    options = BuildOptions(sizes=sizes)
    images, tolerance = case.batch[: check.IMAGES], case.tolerance(precision_of(twin))
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"engine{spec.module.ENGINE_SUFFIX or ''}")
            with closing(spec.build(case.core, images[:1].clone(), path, case.calibration, options)) as run:
                running: Any = SimpleNamespace(run=run, run_device=spec.runs_on(device))
                visits = check.visits_of(running, images, check.order(sizes))
        eager = TWINS[REFERENCE].build(case.core, images[:1])
        reference = {size: _outputs(eager, inputs.resized(images, size)) for size in sizes}
    except Exception as error:  # noqa: BLE001  from any backend; the other rows still count
        return [{"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", "held": False}]
    names = case.names[: len(images)]
    agree = sizes_agree(visits, reference, tolerance, names, device)
    refused = [not sizes_agree(spoil(visits), reference, tolerance, names, device) for spoil in SIZE_MUTANTS.values()]
    rows = []
    for size in sizes:
        found = [(visit, verdicts) for visit, verdicts in zip(visits, agree.visits) if visit.size == size]
        errors = [one.max_relative_error for _, (*_, first, whole) in found for one in (first, whole)]
        rows.append({
            "size": list(size), "tolerance": tolerance.relative_error,
            "max_relative_error": None if None in errors else max(errors),
            "first_call_after_switch_s": max(visit.first_call_s for visit, _ in found),
            "call_s": statistics.median(visit.call_s for visit, _ in found),
            "mutants_refused": refused, "report": "" if agree else agree.report(f"{twin}"),
            "held": bool(agree) and all(refused),
        })  # fmt: skip
    return rows


def _outputs(run: Any, batch: Any) -> Any:
    from twins.common.outputs import concatenate, to_numpy

    return concatenate([to_numpy(run(row)) for row in inputs.split(batch, 1)])


def shown(row: Dict[str, Any]) -> str:
    """A line of the table."""
    case = f"| {row['model']} | {row['twin']} |"
    if "failed" in row:
        return f"{case} failed: {row['failed']} |"
    error = row["max_relative_error"]
    cells = (
        size_shown(tuple(row["size"])),
        "not comparable" if error is None else f"{error:.1e}",
        f"{row['tolerance']:.1e}",
        f"{row['first_call_after_switch_s'] * 1e3:.2f}",
        f"{row['call_s'] * 1e3:.2f}",
        "refused" if all(row["mutants_refused"]) else "NOT REFUSED",
        "held" if row["held"] else f"NOT HELD: {' '.join(row['report'].split())[:300]}",
    )
    return f"{case} {' | '.join(cells)} |"


def _listed(text: str) -> List[str]:
    return text.split(",")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: {', '.join(SIZES)}")
    parser.add_argument("--device", default="cpu", help="torch's name of it, such as cuda:0")
    parser.add_argument("--twins", type=_listed, metavar="X,Y", help="default: every one that can run here")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    chosen.models = chosen.models or list(SIZES)
    chosen.twins = chosen.twins or [
        name
        for name, spec in TWINS.items()
        if spec.module.DYNAMIC_SIZES and spec.precision != "int8" and unavailable(name, chosen.device) is None
    ]
    sys.exit(main(chosen))
