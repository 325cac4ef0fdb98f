"""Measures what the tolerances must allow: error, decisions and repeatability of every model, twin and seed.

From the repository's root, on a CPU or, with real engines, on a GPU:

    python -m benchmarks.validation.tolerances [--twins X,Y] [--seeds 0,1,2] [--device cuda:0] [--processes N]
        [--json FILE] [MODEL ...]

Calibrated weights of each seed; a model with its own weights runs once. Each model and seed runs in its own process, so
that a crash loses only its rows. docs/tolerances.md and docs/detection.md have its output.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from benchmarks.validation.seeded import Outputs, Seeded, precision_of
from twins.common.jsonable import json_safe
from twins.common.outputs import largest, to_numpy
from twins.judge.detection import with_few_boxes
from twins.judge.repeatability import CALLS, repeatability
from twins.models.zoo import MODELS, find

SEEDS = (0, 1, 2)
ON_CPU = ("onnxruntime_fp32", "onnxruntime_int8", "emulated_tf32", "emulated_fp16")
# Time limit for one model and seed. Everything should end within 8 minutes on a GPU machine with 16 cores.
CASE_LIMIT_S = 420
# Most expensive first, so that no long case starts when the others have ended.
SLOWEST = ("ssd300_vgg16", "vgg16", "ssdlite320_mobilenet_v3_large", "inception_v3", "resnet50")
# Figures by key, with their titles. All are 0 for a perfect twin. The limit of each must allow its worst value.
FIGURES = {
    "error": "error",
    "cosine_error": "1 - cosine",
    "flips": "flips",
    "widest_flip": "widest flip",
    "iou_error": "1 - IoU",
    "score": "score",
    "median_score": "median score",
    "unmatched": "unmatched",
    "excused": "excused",
    "changed": "pixels",
    "mask_error": "1 - mean IoU",
}


def main(asked: argparse.Namespace) -> None:
    """Prints a row for each model, twin and seed, then the worst of each twin and model; writes everything as JSON."""
    start = time.monotonic()
    cases = [
        (name, seed)
        for name in sorted(asked.models, key=lambda name: SLOWEST.index(name) if name in SLOWEST else len(SLOWEST))
        for seed in (asked.seeds[:1] if find(name).builder else asked.seeds)
    ]
    print(f"| model | twin | seed | {' | '.join(FIGURES.values())} | different outputs |")
    print("|---" * (len(FIGURES) + 4) + "|")
    rows: List[Dict[str, Any]] = []
    with ThreadPoolExecutor(asked.processes) as pool:
        for found in pool.map(lambda case: _in_process(case, asked), cases):
            rows += found
            print("\n".join(map(shown, found)), flush=True)
    print("", *worst_lines(rows), f"{time.monotonic() - start:.0f} s", sep="\n")
    if asked.json:
        from twins.machine import facts

        document = {"machine": facts.facts(asked.device), "rows": rows}
        asked.json.write_text(json.dumps(json_safe(document), indent=1, default=str))


def _in_process(case: Tuple[str, int], asked: argparse.Namespace) -> List[Dict[str, Any]]:
    """The rows of a model and seed, measured in a process of its own, or one with `failed` if that dies."""
    name, seed = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.json")
        command = [sys.executable, "-m", "benchmarks.validation.tolerances", name, "--seeds", str(seed)]
        command += ["--twins", ",".join(asked.twins), "--device", asked.device, "--rows-to", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=CASE_LIMIT_S, env=_one_thread())
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
        except subprocess.TimeoutExpired:
            reason = f"took longer than {CASE_LIMIT_S} s"
        rows: List[Dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    measured = {row["twin"] for row in rows}
    missing = [twin for twin in asked.twins if twin not in measured]
    return rows + [{"model": name, "twin": twin, "seed": seed, "failed": reason} for twin in missing]


def _one_thread() -> Dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def write_rows(name: str, seed: int, twins: Sequence[str], device: str, path: Path) -> None:
    """Measures in this process. The file is written after each twin, so that a crash leaves those before it."""
    rows = []
    case = Seeded(find(name), seed, device)
    reference = case.reference()
    for twin in twins:
        row = {"model": name, "twin": twin, "seed": seed, "weights": case.weights_kind}
        try:
            rows.append({**row, **measured(case, twin, reference)})
        except Exception as error:  # noqa: BLE001  from any backend; the other twins still count
            rows.append({**row, "failed": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"})
        path.write_text(json.dumps(json_safe(rows)))


def measured(case: Seeded, twin: str, reference: Outputs) -> Dict[str, Any]:
    """The figures that a twin's task has, and whether its agreement and decisions pass the current limits."""
    precision = precision_of(twin)
    with case.twin(twin) as run:
        actual = case.outputs(run)
        calls = CALLS if case.device != "cpu" else 2
        image = case.batch[:1]
        repeated = [(case.names[0], to_numpy(run(image))) for _ in range(calls)]
    scales = {name: largest(array) for name, array in reference.items()}
    steady = repeatability(repeated, scales, case.tolerance(precision))
    agreement = case.agreement(actual, reference, precision)
    decisions = case.decisions(actual, reference, precision)
    few_boxes = {}
    if case.detector:  # The calibrated stand-in is made for this.
        few_boxes["with_few_boxes"] = with_few_boxes(case.detector.boxes_of(reference, case.images))
    return {
        **few_boxes,
        "error": agreement.max_relative_error,
        "mean_error": agreement.mean_relative_error,
        "cosine_error": None if agreement.cosine is None else 1 - agreement.cosine,
        "limit": case.tolerance(precision).relative_error,
        "agrees": bool(agreement),
        "decides_alike": bool(decisions),
        "distinct": steady.distinct,
        "calls": steady.calls,
        "spread": steady.spread,
        "repeats": bool(steady),
        **_decided(decisions, agreement.scale or 1.0),
    }


def _decided(verdict: Any, scale: float) -> Dict[str, Any]:
    """A verdict's figures under the keys of `FIGURES`; the margin of a flip as a share of the scale."""
    if hasattr(verdict, "flips"):
        return {"flips": len(verdict.flips), "widest_flip": verdict.flips[0].margin / scale if verdict.flips else 0.0}
    if hasattr(verdict, "mean_iou"):
        return {"changed": max(verdict.changed), "mask_error": 1 - verdict.mean_iou}
    return {
        "iou_error": None if verdict.min_iou is None else 1 - verdict.min_iou,
        "score": verdict.max_drift,
        "median_score": None if verdict.median_drift is None else abs(verdict.median_drift),
        "unmatched": verdict.unmatched / verdict.boxes,
        "excused": verdict.excused / verdict.boxes,
    }


def shown(row: Dict[str, Any]) -> str:
    """A line of the table."""
    case = f"| {row['model']} | {row['twin']} | {row['seed']} |"
    if "failed" in row:
        return f"{case} failed: {row['failed']} |"
    figures = " | ".join(_figure(row.get(key)) for key in FIGURES)
    return f"{case} {figures} | {row['distinct']} of {row['calls']}, {row['spread'] or 0:.1e} |"


def worst_lines(rows: Sequence[Dict[str, Any]]) -> Iterator[str]:
    """A table of the worst of each twin and model, with the limit on the error, and then what was left out.

    A twin whose outputs vary from call to call says nothing about its precision and is left out.
    """
    yield f"| twin | model | seeds | limit | limit / worst | {' | '.join(FIGURES.values())} |"
    yield "|---" * (len(FIGURES) + 5) + "|"
    right = [row for row in rows if row.get("repeats")]
    for twin, model in sorted({(row["twin"], row["model"]) for row in right}):
        ours = [row for row in right if (row["twin"], row["model"]) == (twin, model)]
        worst = {key: max((row[key] for row in ours if row.get(key) is not None), default=None) for key in FIGURES}
        limit = ours[0]["limit"]
        ratio = f"{limit / worst['error']:.1f}" if worst["error"] else "–"
        figures = " | ".join(map(_figure, worst.values()))
        yield f"| {twin} | {model} | {len(ours)} | {limit:.1e} | {ratio} | {figures} |"
    for row in rows:
        if not row.get("repeats"):
            reason = row.get("failed") or f"{row['distinct']} different outputs in {row['calls']} calls"
            yield f"left out: {row['model']} {row['twin']}, seed {row['seed']}: {reason}"


def _figure(value: Any) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.1e}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: the whole zoo")
    parser.add_argument("--twins", default=ON_CPU, type=lambda text: text.split(","), metavar="X,Y")
    parser.add_argument("--seeds", default=SEEDS, type=lambda text: [int(seed) for seed in text.split(",")])
    parser.add_argument("--device", default="cpu", help="torch's name of it, such as cuda:0")
    parser.add_argument("--processes", type=int, default=1, help="models at a time, each with one thread")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows-to", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.models = chosen.models or list(MODELS)
    if chosen.rows_to:
        write_rows(chosen.models[0], chosen.seeds[0], chosen.twins, chosen.device, chosen.rows_to)
    else:
        main(chosen)
