"""Order: a case has the same memory and start-up figures whether it is the first or the last of a run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Dict, List

from benchmarks.validation.measuring.proof import MIB, Proof, batch, module, twin_name, weights_path
from twins.backends import TWINS
from twins.common.build_options import BuildOptions
from twins.run import process, worker

BETWEEN = ("alexnet", "mobilenet_v2")
LIMIT_SHARE, LIMIT_BYTES = 0.05, 8 * MIB
REPETITIONS = 3


def prove(run_device: str) -> List[Proof]:
    """resnet18, then other models, then resnet18 again, several times; each start in a worker, as in the suite."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for _ in range(REPETITIONS):
            rows += [_start(model, run_device, Path(folder)) for model in ("resnet18", *BETWEEN)]
        rows.append(_start("resnet18", run_device, Path(folder)))
    same = [row for row in rows if row["model"] == "resnet18"]
    keys = ["host_run_peak_bytes"] + (["device_run_peak_bytes"] if run_device != "cpu" else [])
    return [_proof(key, same) for key in keys]


def _proof(key: str, rows: List[Dict[str, Any]]) -> Proof:
    values = [row[key] for row in rows]
    spread = max(values) - min(values)
    got = f"{' '.join(f'{value / MIB:.1f}' for value in values)} MiB, spread {spread / MIB:.1f} MiB"
    ok = spread <= max(LIMIT_BYTES, LIMIT_SHARE * min(values))
    return Proof(f"order, {key} of resnet18", ok, got, "5 % or 8 MiB", {"bytes": values})


def _start(model: str, run_device: str, folder: Path) -> Dict[str, Any]:
    twin = TWINS[twin_name(run_device)]
    job = worker.Job(model, twin.name, weights_path(model, folder), batch("cpu").numpy(), run_device, BuildOptions())
    engine = None
    if twin.module.ENGINE_SUFFIX:
        (folder / model).mkdir(exist_ok=True)
        engine = folder / model / f"engine{twin.module.ENGINE_SUFFIX}"
        if not engine.exists():
            twin.build(module(model, run_device), batch(run_device), engine).close()
    figures = process.run(worker.start, job, engine, title=f"start of {model}", timeout_s=120)
    figures.pop("output")
    return {"model": model, **figures}
