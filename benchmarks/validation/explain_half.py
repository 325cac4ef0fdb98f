"""Explains a model rounded to float16 throughout, on a CPU: python -m benchmarks.validation.explain_half MODEL

The graph of the twin onnxruntime_fp32 is converted as for TensorRT's fp16 twins. ONNX Runtime keeps each of its tensors
in float16 and computes in float32 in between.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.validation.seeded import Seeded
from twins.backends import TwinSpec
from twins.common.build_options import BuildRequest
from twins.common.outputs import to_numpy
from twins.explain.explain import explain
from twins.models.zoo import MODELS
from twins.onnx.export import export
from twins.onnx.precision import write_float16


def main() -> None:
    """Prints the finding, and the modules with the largest own errors."""
    name = sys.argv[1]
    seeded, spec = Seeded(MODELS[name], 0, step=25), TwinSpec("onnxruntime_fp16", "onnxruntime", "fp16")
    image = seeded.batch[:1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "half.onnx")
        export(seeded.core, image, Path(folder, "float32.onnx"))
        write_float16(Path(folder, "float32.onnx"), path)
        product = to_numpy(spec.load(path, image)(image))
        limit, clock = seeded.tolerance("fp16").relative_error, time.perf_counter()
        request = BuildRequest(seeded.core, image, "fp16", path)
        found = explain(spec, request, product, seeded.names[0], limit, Path(folder))
    print(found.report(name))
    for row in found.worst[:12]:
        error = "–" if row.error is None else f"{row.error:.1e}"
        print(f"{row!s:30} {row.kind:12} output {error} own {row.own_error:.1e} {', '.join(row.covers)}")
    print(f"diagnostic {found.diagnostic_error:.1e}, {len(found.rows)} modules, {time.perf_counter() - clock:.0f} s")


if __name__ == "__main__":
    main()
