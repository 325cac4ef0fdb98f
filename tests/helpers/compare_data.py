"""Makes run documents, as `--benchmark-json` writes them, for the tests of fixtures/compare."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence

import numpy

MIB = 2**20
MODELS = ("resnet18", "mobilenet_v2")
TWINS = ("tensorrt_fp32", "tensorrt_fp16")
BATCH_MS = {"eager_fp32": 10.0, "tensorrt_fp32": 4.0, "tensorrt_fp16": 2.0}
IMAGES = tuple(f"bee_{number:02d}.jpg" for number in range(50))


def document(
    models: Sequence[str] = MODELS,
    twins: Sequence[str] = TWINS,
    seed: int = 0,
    scatter: float = 0.01,
    **machine: Any,
) -> Dict[str, Any]:
    """A whole run. seed and scatter only affect the blocks, so that two documents differ only in noise."""
    noise = numpy.random.default_rng(seed)
    cases = [(model, twin) for model in models for twin in ("eager_fp32", *twins)]
    return {
        "machine_info": {
            "node": "orin", "machine": "aarch64", "python_version": "3.10.12",
            "cpu": {"brand_raw": "Cortex-A78AE", "count": 12}, "jetpack": "6.2", "l4t": "36.4.3", "tensorrt": "10.3.0",
            "cuda": "12.6", "cudnn": "9.3", "torch": "2.5.0", "gpu": "Orin", "power_mode": "MAXN", "driver": "540.4.0",
            "ram_bytes": 32 * 2**30, "os": "Ubuntu 22.04", **machine,
        },
        "commit_info": {"id": "0123abcd", "dirty": False, "branch": "main"},
        "benchmarks": [_benchmark(model, twin, noise, scatter) for model, twin in cases],
        "datetime": "2026-01-02T03:04:05+00:00",
        "version": "5.3.1",
        "suite": {
            "schema": 1,
            "agreement": [_agreement(model, twin) for model, twin in cases if twin in twins],
            "accuracy": [
                {"model": model, "twin": twin, "batch_size": 1, "top1": 0.98, "top5": 1.0, "total": 50}
                for model, twin in cases
            ],
            "predictions": [_predictions(model, twin) for model, twin in cases if twin in twins],
            "startup": [_startup(model, twin) for model, twin in cases],
            "mutants": [],
            "images": "abc123",
            "weights": {"recipe": "calibrated-1", "seed": 0},
            "clocks": {},
            "cases": [
                {"nodeid": f"benchmarks/{test}.py::{test}[{model}-{twin}]", "model": model, "twin": twin,
                 "outcome": "passed", "reason": None}
                for model, twin in cases for test in ("test_latency", "test_agreement")
            ],
        },
    }  # fmt: skip


def _benchmark(model: str, twin: str, noise: numpy.random.Generator, scatter: float) -> Dict[str, Any]:
    machine = noise.normal(0, scatter, 10)  # What a pair of blocks shares.
    blocks, eager = (
        (BATCH_MS.get(name, 3.0) * 1e-3 * numpy.exp(machine + noise.normal(0, scatter / 2, 10))).tolist()
        for name in (twin, "eager_fp32")
    )
    control = twin == "eager_fp32"
    p50_s = float(numpy.median(blocks))
    speedup = None if control else float(numpy.median(numpy.divide(eager, blocks)))
    return {
        "group": None, "name": f"test_latency[{model}-{twin}-1]",
        "fullname": f"benchmarks/test_latency.py::test_latency[{model}-{twin}-1]",
        "params": {"model": model, "twin": twin, "batch_size": 1},
        "stats": {"median": p50_s, "iqr": p50_s / 20, "rounds": 30, "data": [s for s in blocks for _ in range(3)]},
        "extra_info": {
            "model": model, "twin": twin, "batch_size": 1, "weights": "calibrated", "latency_p50_s": p50_s,
            "latency_p90_s": p50_s * 1.05, "latency_p95_s": p50_s * 1.1, "latency_p99_s": None,
            "throughput_fps": 1 / p50_s, "speedup_vs_eager": speedup,
            "speedup_ci95": None if control else [speedup * 0.98, speedup * 1.02],
            "blocks_s": {"twin": blocks, "eager": None if control else eager},
            "realtime": True, "stable": True,
            "device_run_peak_bytes": 100 * MIB, "device_build_peak_bytes": 300 * MIB, "device_memory_source": "nvml",
        },
    }  # fmt: skip


def _agreement(model: str, twin: str) -> Dict[str, Any]:
    error = 3e-3 if twin.endswith("fp16") else 1e-6
    return {
        "model": model, "twin": twin, "batch_size": 1, "ok": True, "counts": True, "tolerance": 20 * error,
        "max_relative_error": error, "mean_relative_error": error / 10, "cosine": 0.99999,
        "max_probability_change": error, "smallest_passing_tolerance": error, "non_finite": 0,
        "top1_same": 50, "top1_total": 50, "top1_agreement": 1.0, "top1_excused": 0, "top5_overlap": 0.99,
    }  # fmt: skip


def _predictions(model: str, twin: str) -> Dict[str, Any]:
    names = ["bee", "fly", "ant", "cicada", "cricket"]
    return {
        "model": model, "twin": twin, "batch_size": 1,
        "photographs": [
            {"photograph": name, "names": names, "indices": [309, 308, 310, 316, 312],
             "probabilities": [0.9, 0.05, 0.03, 0.01, 0.01]}
            for name in IMAGES
        ],
    }  # fmt: skip


def _startup(model: str, twin: str) -> Dict[str, Any]:
    control = twin == "eager_fp32"
    return {
        "model": model, "twin": twin, "batch_size": 1, "model_load_s": 0.5, "export_s": None,
        "build_s": None if control else 40.0, "load_s": 0.1, "first_call_s": 0.05, "second_call_s": 0.01,
        "engine_bytes": None if control else 45 * MIB, "host_build_peak_bytes": None if control else 900 * MIB,
        "host_run_peak_bytes": 200 * MIB, "host_memory_source": "VmHWM",
    }  # fmt: skip


def dense(run: Dict[str, Any], model: str, twin: str, **fields: Any) -> Dict[str, Any]:
    """A copy in which the model is a detector and a segmenter as well, whose boxes and masks agree but for `fields`."""
    run = copy.deepcopy(run)
    named = {"model": model, "twin": twin, "batch_size": 1}
    boxes = {"ok": True, "boxes": 895, "unmatched": 0, "min_iou": 0.999, "max_drift": 1e-4}
    masks = {"ok": True, "max_changed": 1e-3, "changed_pixels": 9, "mean_iou": 0.999}
    for section, row in (("detection", boxes), ("segmentation", masks)):
        run["suite"][section] = [{**named, **row, **{key: fields[key] for key in fields if key in row}}]
    return run


def benchmark(run: Dict[str, Any], model: str, twin: str) -> Dict[str, Any]:
    """The benchmark of a model and twin, to be changed in place."""
    return next(b for b in run["benchmarks"] if (b["params"]["model"], b["params"]["twin"]) == (model, twin))


def row(run: Dict[str, Any], section: str, model: str, twin: str) -> Dict[str, Any]:
    """The object of a section of `suite`, to be changed in place."""
    return next(row for row in run["suite"][section] if (row["model"], row["twin"]) == (model, twin))


def slow_down(run: Dict[str, Any], factor: float, model: str, twin: str, eager: float = 1.0) -> Dict[str, Any]:
    """A copy in which the twin takes `factor` times as long, and its control `eager` times."""
    run = copy.deepcopy(run)
    extra = benchmark(run, model, twin)["extra_info"]
    extra["latency_p50_s"] *= factor
    extra["speedup_vs_eager"] *= eager / factor
    for side, change in (("twin", factor), ("eager", eager)):
        extra["blocks_s"][side] = [block * change for block in extra["blocks_s"][side]]
    return run


def without(run: Dict[str, Any], model: str, twin: str) -> Dict[str, Any]:
    """A copy in which the model and twin were never run."""
    run = copy.deepcopy(run)
    run["benchmarks"] = [b for b in run["benchmarks"] if (b["params"]["model"], b["params"]["twin"]) != (model, twin)]
    for section in ("agreement", "accuracy", "predictions", "startup", "cases"):
        run["suite"][section] = [r for r in run["suite"][section] if (r["model"], r["twin"]) != (model, twin)]
    return run


def plain(run: Dict[str, Any]) -> Dict[str, Any]:
    """A copy as pytest-benchmark alone would have written it."""
    run = copy.deepcopy(run)
    del run["suite"]
    run["machine_info"] = {key: run["machine_info"][key] for key in ("node", "machine", "python_version", "cpu")}
    for bench in run["benchmarks"]:
        bench["extra_info"] = {}
    return run


def write(folder: Path, name: str, run: Any) -> Path:
    """Writes the document and returns its path."""
    path = folder / name
    path.write_text(json.dumps(run), encoding="utf-8")
    return path


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every value in the document, containers included."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from leaves(child, (*path, key))


def on_gpu(run: Dict[str, Any], model: str, twin: str, device: float = 0.95, control_s: float = 4e-4) -> Dict[str, Any]:
    """A copy in which the GPU works for the share `device` of a call's time and its control kernel takes this long."""
    run = copy.deepcopy(run)
    extra = benchmark(run, model, twin)["extra_info"]
    extra["device_p50_s"] = device * extra["latency_p50_s"]
    moment = {"control_s": control_s}
    run["suite"]["clocks"] = {f"{model} {twin} 1": {"before": moment, "after": moment}}
    return run


def end_to_end(
    run: Dict[str, Any], twin_factor: float = 1.0, decode_factor: float = 1.0, run_factor: Optional[float] = None
) -> Dict[str, Any]:
    """A copy whose benchmarks are end-to-end, each slowed by its factor.

    A third of it is decoding, three fifths the model's own part (run_factor: None for as much slower as the whole).
    """
    run = copy.deepcopy(run)
    for bench in run["benchmarks"]:
        extra = bench["extra_info"]
        for key in ("name", "fullname"):
            bench[key] = bench[key].replace("test_latency", "test_end_to_end")
        extra["speedup_vs_eager"] = extra["speedup_ci95"] = None
        extra["latency_p50_s"] *= twin_factor
        blocks = extra["blocks_s"]["twin"]
        extra["blocks_s"] = {
            "twin": [block * twin_factor for block in blocks],
            "eager": None,
            "decode": [block / 3 * decode_factor for block in blocks],
            "run": [block * 0.6 * (twin_factor if run_factor is None else run_factor) for block in blocks],
        }
    return run
