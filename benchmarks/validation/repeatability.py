"""Prints how many different outputs a twin gives in 20 calls with one image, and how much they differ.

From the repository's root:

    python -m benchmarks.validation.repeatability [--twins X,Y] [--device cuda:0] [--calls 20] [--threads 1,2]
        [--json FILE] [MODEL ...]

Calibrated weights of seed 0, or a model's own weights. docs/repeatability.md has its output.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict, List

import numpy

from benchmarks.validation.seeded import Seeded, precision_of
from twins.backends import REFERENCE, TWINS, unavailable
from twins.common.jsonable import json_safe
from twins.common.outputs import largest, to_numpy
from twins.judge.repeatability import repeatability
from twins.models.zoo import MODELS, find

CALLS = 20
HEADER = """| model | twin | threads | different outputs | spread | limit | error | eager's largest output |
|---|---|---|---|---|---|---|---|"""


def main(asked: argparse.Namespace) -> None:
    """Prints a row for each model, number of threads and twin, and writes them as JSON."""
    import torch

    print(HEADER)
    rows = []
    for name in asked.models:
        case = Seeded(find(name), 0, asked.device)
        for threads in asked.threads:
            torch.set_num_threads(threads)
            for twin in asked.twins:
                row = {"model": name, "twin": twin, "threads": threads, **measured(case, twin, asked.calls)}
                print(shown(row), flush=True)
                rows.append(row)
    if asked.json:
        asked.json.write_text(json.dumps(json_safe(rows), indent=1))


def measured(case: Seeded, twin: str, calls: int) -> Dict[str, Any]:
    """What a twin gave for the first image; `failed` with the reason if it cannot be built or run."""
    image = case.batch[:1]
    expected = to_numpy(TWINS[REFERENCE].build(case.core, image)(image))
    try:
        with case.twin(twin) as run:
            outputs = [to_numpy(run(image)) for _ in range(calls)]
    except Exception as error:  # noqa: BLE001  from any backend; the other rows still count
        return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    scales = {name: largest(array) for name, array in expected.items()}
    found = repeatability([(case.names[0], output) for output in outputs], scales, case.tolerance(precision_of(twin)))
    errors = [
        max(float(numpy.abs(output[name] - array).max()) / scales[name] for name, array in expected.items())
        for output in outputs
    ]
    first = next(iter(expected))
    same = sum(bool(output[first].argmax() == expected[first].argmax()) for output in outputs)
    return {**found.as_dict(), "error_min": min(errors), "error_max": max(errors), "same_best": same}


def shown(row: Dict[str, Any]) -> str:
    """A line of the table."""
    case = f"| {row['model']} | {row['twin']} | {row['threads']} |"
    if "failed" in row:
        return f"{case} failed: {row['failed']} |"
    spread = "not finite" if row["spread"] is None else f"{row['spread']:.1e}"
    return (
        f"{case} {row['distinct']} of {row['calls']} | {spread} | {row['spread_limit']:.1e} |"
        f" {row['error_min']:.1e} to {row['error_max']:.1e} | {row['same_best']} of {row['calls']} |"
    )


def _listed(text: str) -> List[str]:
    return text.split(",")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: the whole zoo")
    parser.add_argument("--twins", type=_listed, metavar="X,Y", help="default: every one that can run here")
    parser.add_argument("--device", default="cpu", help="torch's name of it, such as cuda:0")
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--threads", default=[1], type=lambda text: [int(count) for count in text.split(",")])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    chosen.models = chosen.models or list(MODELS)
    chosen.twins = chosen.twins or [name for name in TWINS if unavailable(name, chosen.device) is None]
    main(chosen)
