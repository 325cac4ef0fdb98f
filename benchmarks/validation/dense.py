"""Judges 20 runs of a detector's or segmenter's ONNX Runtime twin: all verdicts must be the same.

From the repository's root: `python -m benchmarks.validation.dense [--seeds 0,1,2] [--step N] [MODEL ...]`. CPU only,
calibrated weights. Eager's batch size and number of threads differ from run to run. docs/detection.md has the latest
output. For the errors of rounded twins see `benchmarks.validation.tolerances`.
"""

from __future__ import annotations

import argparse

from benchmarks.validation.seeded import Seeded
from twins.models.zoo import MODELS

RUNS = 20
TWIN, PRECISION = "onnxruntime_fp32", "fp32"
BATCH_SIZES = (1, 2, 5, 7, 10)


def runs(case: Seeded) -> None:
    """Prints a row for each run, then how many different outcomes there were."""
    import torch

    verdicts = []
    with case.twin(TWIN) as twin:
        for number in range(RUNS):
            torch.set_num_threads(1 + number % 2)
            reference = case.reference(BATCH_SIZES[number % len(BATCH_SIZES)])
            verdict = case.decisions(case.outputs(twin), reference, PRECISION)
            row = (case.spec.name, case.seed, number + 1, bool(verdict), verdict.figures())
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            verdicts.append((bool(verdict), getattr(verdict, "matched", None), getattr(verdict, "excused", None)))
    print(f"{case.spec.name}, seed {case.seed}: {len(set(verdicts))} different outcome(s) in {RUNS} runs")


if __name__ == "__main__":
    dense = [name for name, spec in MODELS.items() if spec.task in ("detection", "segmentation")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", choices=[*dense, []], metavar="MODEL", help="default: all")
    parser.add_argument("--seeds", default=(0,), type=lambda text: [int(seed) for seed in text.split(",")])
    parser.add_argument("--step", type=int, default=5, help="judge every STEP-th image")
    asked = parser.parse_args()
    for seed in asked.seeds:
        for name in asked.models or dense:
            runs(Seeded(MODELS[name], seed, step=asked.step))
