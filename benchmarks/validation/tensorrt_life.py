"""Validation on a GPU: builds, loads and runs engines with the installed TensorRT, one line per twin.

`python -m benchmarks.validation.tensorrt_life [model …]`: builds, stores, loads, compares the outputs with eager's
(on the default stream and on one of its own), refuses a broken file, rebuilds from the timing cache, and times the twin
against a bare call of its engine's context. For TensorRT for RTX, benchmarks/validation/rtx.py adds more. Without a
model it uses the pointwise one, otherwise the zoo's, on random weights. Exit code 1 if a line says FAILED, which
includes a call of more than 1.15 times the bare one's, or if no twin could run.
"""

from __future__ import annotations

import importlib
import runpy
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, List

from benchmarks.validation import bare, rtx
from twins.backends import TWINS, unavailable
from twins.common.build_options import BuildOptions
from twins.common.errors import UserError
from twins.tensorrt.package import is_rtx
from twins.tolerances.outputs import tolerance

WITH_CONTEXT = ("tensorrt", "tensorrt_rtx")
TWIN_NAMES = [name for name, spec in TWINS.items() if spec.backend in (*WITH_CONTEXT, "torch2trt")]
OWN_MODELS = Path(__file__).resolve().parent.parent / "examples" / "own_models.py"
CALIBRATION = 14
# Longest call of a tensorrt twin, relative to a bare call of its context.
LARGEST_RATIO = 1.15
# A side stream is kept busy for this many GPU clocks, about 30 ms, before its input is written.
LATE_CYCLES = 50_000_000


def random_model(name: str) -> Any:
    """On the GPU: the pointwise model, or the zoo's of this name with weights that keep activations in range."""
    import torch

    from twins.models import zoo

    torch.manual_seed(0)
    if name == "pointwise":
        return runpy.run_path(str(OWN_MODELS))["Pointwise"]().eval().cuda()
    model = zoo.build_module(zoo.MODELS[name])
    for parameter, tensor in model.state_dict().items():
        if tensor.dim() > 1:
            torch.nn.init.kaiming_normal_(tensor)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.02).add_(0 if parameter.endswith(("bias", "mean")) else 1)
    return model.cuda()


def relative_error(output: Any, expected: Any) -> float:
    """Largest deviation as a share of the largest expected value."""
    return float((output - expected).abs().max() / expected.abs().max())


def timed(task: Any) -> Any:
    """(result, seconds) of a function that ends with the device idle."""
    import torch

    start = time.perf_counter()
    result = task()
    torch.cuda.synchronize()
    return result, time.perf_counter() - start


def life(name: str, twin: str, folder: Path) -> str:
    """What happened, in one line. Raises UserError for what the twin does not support, AssertionError for failures."""
    import torch

    spec, options = TWINS[twin], BuildOptions(timing_folder=folder / "timing")
    size = {"pointwise": 128, "inception_v3": 299}.get(name, 224)
    model, batches = random_model(name), torch.rand(CALIBRATION, 3, size, size, device="cuda")
    example, other = batches[:1].clone(), batches[1:2].clone()
    path = folder / f"{name}-{twin}{spec.module.ENGINE_SUFFIX}"
    calibration = batches if spec.precision == "int8" else None
    first, build_s = timed(lambda: spec.build(model, example, path, calibration, options))
    first.close()
    second, rebuild_s = timed(lambda: spec.build(model, example, path, calibration, options))
    second.close()
    loaded, load_s = timed(lambda: spec.load(path, example, options))
    with torch.inference_mode():
        errors = [relative_error(loaded(batch), model(batch)) for batch in (example, other, example)]
        distance = relative_error(model(other), model(example))
    limit = tolerance(spec.precision, "calibrated").relative_error
    assert max(errors) <= limit, f"error {max(errors):.1e}, tolerance {limit:g}"
    # With random weights, two batches of noise give similar outputs.
    clear = {"fp32": 10, "int8": 0}.get(spec.precision, 2)
    assert distance > clear * max(errors), f"two batches differ by {distance:.1e} only"
    aside = on_a_side_stream(loaded, model, example, other)
    assert aside <= limit, f"error {aside:.1e} on a side stream, tolerance {limit:g}: it did not wait for that stream"
    parts = [
        f"build {build_s:.2f} s",
        f"again {rebuild_s:.2f} s",
        f"load {load_s:.3f} s",
        f"{path.stat().st_size} bytes",
    ]
    parts += [f"error {max(errors):.1e}", f"batches differ by {distance:.1e}", broken(spec, path, example)]
    if spec.backend not in WITH_CONTEXT:
        parts.append(f"call {bare.median_s(lambda: loaded(example)) * 1e6:.1f} µs")
    else:
        trt = importlib.import_module(spec.backend)
        direct, _alive = bare.context(trt, path, example)
        call_s, direct_s = bare.medians_s(lambda: loaded(example), direct)
        if is_rtx(trt):
            parts += rtx.extras(trt, spec, model, loaded, path, batches, limit)
        replayed = spec.load(path, example, BuildOptions(flags=frozenset(["--tensorrt-replay"])))
        assert relative_error(replayed(other), model(other).detach()) <= limit, "the CUDA graph's output is wrong"
        aside = on_a_side_stream(replayed, model, example, other)
        assert aside <= limit, f"error {aside:.1e} of the CUDA graph on a side stream"
        replay_s = bare.median_s(lambda: replayed(example))
        parts += [f"call {call_s * 1e6:.1f} µs, bare {direct_s * 1e6:.1f} µs, ratio {call_s / direct_s:.3f}"]
        parts += [f"CUDA graph {replay_s * 1e6:.1f} µs"]
        replayed.close()
        assert call_s <= LARGEST_RATIO * direct_s, f"{', '.join(parts)}: the ratio may be {LARGEST_RATIO} at most"
    loaded.close()
    return ", ".join(parts)


def on_a_side_stream(twin: Any, model: Any, example: Any, other: Any) -> float:
    """The error of a call on a stream of its own, on which the input becomes `other` only after a while.

    A twin that does not run on the current stream would read `example`.
    """
    import torch

    stream, late = torch.cuda.Stream(), example.clone()
    torch.cuda.synchronize()
    with torch.inference_mode(), torch.cuda.stream(stream):
        torch.cuda._sleep(LATE_CYCLES)
        late.copy_(other)
        output = twin(late).clone()
    stream.synchronize()
    with torch.inference_mode():
        return relative_error(output, model(other))


def broken(spec: Any, path: Path, example: Any) -> str:
    """How a truncated file and garbage are refused. The file is intact afterwards."""
    whole = path.read_bytes()
    try:
        for damaged in (whole[: len(whole) // 2], b"garbage" * 100):
            path.write_bytes(damaged)
            try:
                spec.load(path, example)
            except UserError as error:
                assert "\n" not in str(error), f"more than one line: {error}"
            else:
                raise AssertionError("a broken file was loaded")
    finally:
        path.write_bytes(whole)
    return "broken files refused"


def main(names: List[str]) -> bool:
    """Prints a line for each model and twin. Returns whether any ran and none failed."""
    good, ran = True, 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names or ["pointwise"]:
            for twin in TWIN_NAMES:
                try:
                    line = unavailable(twin, "cuda:0") or ""
                    if not line:
                        line = life(name, twin, Path(folder))
                        ran += 1
                except UserError as error:
                    line = f"refused: {error}"
                except Exception as error:  # noqa: BLE001  the other twins should still run
                    line, good = f"FAILED: {type(error).__name__}: {error}", False
                print(f"{name} {twin}: {line}", flush=True)
    if not ran:
        print("FAILED: no twin ran")
    return good and ran > 0


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
