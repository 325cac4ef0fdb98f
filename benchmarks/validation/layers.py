"""Validation of --layers: what runs recorded, what TensorRT says of an engine, and whether a slow layer is named.

`python -m benchmarks.validation.layers report RUN.json [MORE.json ...]`
    For each twin: layers, share of their time that has modules and a precision, and their sum against a call.
`python -m benchmarks.validation.layers inspect TWIN FOLDER MODEL [MODEL ...]`
    On a GPU: writes the engine inspector's JSON and the profiler's names of an engine to the folder.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, Sequence

from twins.backends import TWINS
from twins.common.build_options import BuildOptions


def report(paths: Sequence[str]) -> Iterator[str]:
    """A line for each twin of the runs."""
    for path in paths:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))["suite"]["layers"]
        for row in rows:
            yield f"{path}: {row['model']} {row['twin']} batch {row['batch_size']}: {summary(row)}"


def summary(row: Dict[str, Any]) -> str:
    """What a row of `suite.layers` comes to, and the names of its layers without modules."""
    layers = row["layers"]
    whole_s = sum(layer["p50_s"] for layer in layers)
    known = [sum(layer["p50_s"] for layer in layers if layer[key]) / whole_s for key in ("modules", "precision")]
    unnamed = [layer["name"] for layer in layers if not layer["modules"]]
    return (
        f"{len(layers)} layers, modules of {known[0]:.1%} and precision of {known[1]:.1%} of the time, medians "
        f"{whole_s * 1e6:.1f} µs, {row['whole_is']} {row['whole_s'] * 1e6:.1f} µs ({whole_s / row['whole_s']:.3f}), "
        f"missing: {row['missing']}; without modules: {unnamed[:8]}"
    )


def inspect(name: str, folder: Path, models: Sequence[str]) -> Iterator[str]:
    """Writes what TensorRT says of an engine with detailed profiling, of models with random weights."""
    import torch
    import torchvision

    from twins.tensorrt import profiling

    spec = TWINS[name]
    trt = importlib.import_module(spec.backend)
    options = BuildOptions(detailed_profiling=True)
    folder.mkdir(parents=True, exist_ok=True)
    for title in models:
        torch.manual_seed(0)
        model = getattr(torchvision.models, title)(weights=None).eval().requires_grad_(False).cuda()
        example = torch.rand(1, 3, 224, 224, device="cuda")
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, f"engine{spec.module.ENGINE_SUFFIX}")
            spec.build(model, example, path, None, options).close()
            with closing(spec.load(path, example, options)) as twin:
                text = profiling.information(trt, twin)
                timed = profiling.times(trt, twin, example, 3)
        details = profiling.details_in(text)
        (folder / f"inspector-{title}-{name}.json").write_text(text, encoding="utf-8")
        (folder / f"profiler-{title}-{name}.json").write_text(json.dumps(timed, indent=1), encoding="utf-8")
        same = sum(layer in details for layer in timed[-1])
        yield f"{title} {name}: {len(timed[-1])} layers timed, {len(details)} inspected, {same} in both"


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    lines = report(rest) if what == "report" else inspect(rest[0], Path(rest[1]), rest[2:])
    for line in lines:
        print(line, flush=True)
