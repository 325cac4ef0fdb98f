"""Loading: ONNX Runtime loads a file with its weights in a separate file faster than one that contains them."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Dict, List

from benchmarks.validation.measuring.proof import Proof, batch, module
from twins.backends import TWINS
from twins.common import phases
from twins.onnx.export import export
from twins.run import process

STARTS = 7


def prove(run_device: str) -> List[Proof]:
    """resnet50, each start in a process of its own, in turn; only on the CPU."""
    if run_device != "cpu":
        return []
    with tempfile.TemporaryDirectory() as folder:
        paths = {"inside": Path(folder, "inside.onnx"), "beside": Path(folder, "beside.onnx")}
        for place, path in paths.items():
            export(module("resnet50", "cpu"), batch("cpu"), path, weights_inside=place == "inside")
        seconds: Dict[str, List[float]] = {place: [] for place in paths}
        for _ in range(STARTS):
            for place, path in paths.items():
                seconds[place].append(process.run(load_s, path, title="load", timeout_s=60))
    inside, beside = (statistics.median(seconds[place]) for place in ("inside", "beside"))
    got = f"{inside * 1e3:.0f} ms with the weights inside, {beside * 1e3:.0f} ms beside the file: {inside / beside:.1f}"
    return [Proof("loading, resnet50", beside < inside, got, "faster", {"seconds": seconds})]


def load_s(path: Path) -> float:
    """Seconds from the file to a session; called in a worker."""
    TWINS["onnxruntime_fp32"].load(path, batch("cpu")).close()
    return phases.seconds["engine_load_s"]
