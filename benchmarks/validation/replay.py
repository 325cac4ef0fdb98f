"""Validation on a GPU: the suite records the same times as bare calls in the same process.

`python -m benchmarks.validation.replay cuda_graph` compares the suite's median of cuda_graph_fp32 for resnet18 with a
bare replay loop (limit 5 %). `... tensorrt` compares that of tensorrt_fp32 for the pointwise model with a bare call of
the same engine's context (limit 15 %), and also shows torch2trt's if that runs. Exit code 1 beyond the limit.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import List

from benchmarks.validation import bare

LIMITS = {"cuda_graph": 0.05, "tensorrt": 0.15}
MODEL_FILE = Path(__file__).resolve().parent.parent / "examples" / "own_models.py"
REPETITIONS = 3


def recorded_s(twin: str, folder: Path, *arguments: str) -> float:
    """The suite's median of this twin: runs its latency test in this process and reads the JSON."""
    import pytest

    run = folder / "run.json"
    code = pytest.main(["benchmarks/test_latency.py", "-q", "--twins", twin, "--engine-dir", str(folder / "engines"),
                        "--benchmark-json", str(run), *arguments])  # fmt: skip
    if code:
        sys.exit(f"the suite's own run failed with exit code {int(code)}")
    rows = [row["extra_info"] for row in json.loads(run.read_text())["benchmarks"]]
    return next(row["latency_p50_s"] for row in rows if row["twin"] == twin)


def report(title: str, recorded: List[float], plain: List[float], limit: float) -> bool:
    """One line; whether the median of the ratios is within the limit. Runs of both sides alternate."""
    ratios = sorted(got / wanted for got, wanted in zip(recorded, plain))
    ratio = ratios[len(ratios) // 2]
    got, wanted = (" ".join(f"{seconds * 1e6:.1f}" for seconds in side) for side in (recorded, plain))
    verdict = "within" if ratio <= 1 + limit else "BEYOND"
    print(f"{title}: recorded {got} µs, bare {wanted} µs, ratio {ratio:.3f}, {verdict} {1 + limit:.2f}")
    return ratio <= 1 + limit


def cuda_graph(folder: Path) -> bool:
    """resnet18 at batch 1, the suite's twin against a graph captured here."""
    import torch
    import torchvision

    recorded, plain = [], []
    for _ in range(REPETITIONS):
        recorded.append(recorded_s("cuda_graph_fp32", folder, "--models", "resnet18"))
        model = torchvision.models.resnet18().eval().cuda()  # TF32 is off: the suite has just switched it off.
        plain.append(bare.median_s(bare.graph(model, torch.rand(1, 3, 224, 224, device="cuda"))))
    return report("cuda_graph_fp32, resnet18", recorded, plain, LIMITS["cuda_graph"])


def tensorrt(folder: Path) -> bool:
    """The pointwise model at batch 1, the suite's twin against its own engine called directly."""
    import tensorrt as trt
    import torch

    from twins.backends import unavailable

    arguments = ("--model-file", str(MODEL_FILE), "--models", "pointwise")
    recorded, plain, converted = [], [], []
    for _ in range(REPETITIONS):
        recorded.append(recorded_s("tensorrt_fp32", folder, *arguments))
        (engine_path,) = (folder / "engines").glob("pointwise-tensorrt_fp32-*/*.engine")
        call, _alive = bare.context(trt, engine_path, torch.rand(1, 3, 128, 128, device="cuda"))
        plain.append(bare.median_s(call))
        if not unavailable("torch2trt_fp32", "cuda:0"):
            converted.append(recorded_s("torch2trt_fp32", folder, *arguments))
    if converted:
        report("torch2trt_fp32, pointwise", converted, plain, LIMITS["tensorrt"])
    return report("tensorrt_fp32, pointwise", recorded, plain, LIMITS["tensorrt"])


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LIMITS:
        sys.exit(f"usage: python -m benchmarks.validation.replay {'|'.join(LIMITS)}")
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(not globals()[sys.argv[1]](Path(scratch)))
