"""What `tensorrt_life` tests only for TensorRT for RTX: kernels, streams, capture, device time, a batch profile."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, List

from benchmarks.validation import bare
from twins.common import phases
from twins.common.build_options import BuildOptions
from twins.common.errors import EngineRefused
from twins.common.replay import Replay
from twins.measure import device_time
from twins.tensorrt.rtx import OnOwnStream, kernels_path

PROFILE = (1, 4, 8)
# Largest difference of the suite's device time from that of hand-placed events.
DEVICE_TIME = 0.02


def extras(trt: ModuleType, spec: Any, model: Any, loaded: Any, path: Path, batches: Any, limit: float) -> List[str]:
    """Figures for the line of a twin. loaded: runs the engine at `path`. Raises AssertionError for what is wrong."""
    example = batches[:1].clone()
    return [
        *starts(spec, path, example),
        broken_kernels(spec, path, example),
        *streams(trt, loaded, path, example),
        *device_times(trt, loaded, path, example),
        profile(spec, model, path, batches, limit),
    ]


def starts(spec: Any, path: Path, example: Any) -> List[str]:
    """One load that compiles the kernels, and one that finds them stored."""
    stored = kernels_path(path)
    content = stored.read_bytes()
    parts = [f"kernels {len(content)} bytes"]
    for title in ("compiled", "stored"):
        if title == "compiled":
            stored.unlink()
        else:
            stored.write_bytes(content)
        phases.seconds.clear()
        twin = spec.load(path, example, BuildOptions())
        parts.append(
            f"{title}: load {phases.seconds['engine_load_s']:.3f} s, context {phases.seconds['context_s']:.3f} s"
        )
        twin.close()
    return parts


def broken_kernels(spec: Any, path: Path, example: Any) -> str:
    """How damaged kernels are refused. The file is intact afterwards."""
    stored = kernels_path(path)
    whole = stored.read_bytes()
    try:
        for damaged in (whole[: len(whole) // 2], b"garbage" * 100):
            stored.write_bytes(damaged)
            try:
                spec.load(path, example, BuildOptions()).close()
            except EngineRefused as error:
                assert "\n" not in str(error), f"more than one line: {error}"
            else:
                raise AssertionError(f"{len(damaged)} of {len(whole)} bytes of kernels were accepted")
    finally:
        stored.write_bytes(whole)
    return "broken kernels refused"


def streams(trt: ModuleType, loaded: Any, path: Path, example: Any) -> List[str]:
    """Calls on a stream of their own, and CUDA graphs: the runtime's capture of a bare call, and torch's of the twin.

    Whether TensorRT's calls on the default stream cost more is measured in turn, in one process.
    """
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        direct, _alive = bare.context(trt, path, example)
        twin_s, direct_s = bare.medians_s(lambda: loaded(example), direct)
        captured, _alive_too = bare.context(trt, path, example, capture=True)
        captured_s = bare.median_s(captured)
    torch.cuda.current_stream().wait_stream(side)
    aside = OnOwnStream(loaded, example)  # Not closed, which would close the twin with it.
    on_default_s, aside_s = bare.medians_s(lambda: loaded(example), lambda: aside(example))
    of_torch = Replay(loaded, example)  # Not closed, which would close the twin with it.
    of_torch_s = bare.median_s(lambda: of_torch(example))
    return [
        f"own stream: call {twin_s * 1e6:.1f} µs, bare {direct_s * 1e6:.1f} µs, ratio {twin_s / direct_s:.3f}",
        f"in turn: default stream {on_default_s * 1e6:.1f} µs, twin's own {aside_s * 1e6:.1f} µs",
        f"bare with its capture {captured_s * 1e6:.1f} µs, torch's capture {of_torch_s * 1e6:.1f} µs",
    ]


def device_times(trt: ModuleType, loaded: Any, path: Path, example: Any) -> List[str]:
    """The suite's device time of the twin against events around a bare call."""
    direct, _alive = bare.context(trt, path, example)
    call_s = bare.median_s(direct)
    by_hand_s = bare.event_s(direct, call_s)
    recorded_s = device_time.figures(loaded, example, call_s)["device_p50_s"]
    ratio = recorded_s / by_hand_s
    line = f"device time {recorded_s * 1e6:.1f} µs, by hand {by_hand_s * 1e6:.1f} µs, ratio {ratio:.3f}"
    return [line if abs(ratio - 1) <= DEVICE_TIME else f"{line} BEYOND {DEVICE_TIME:.0%}"]


def profile(spec: Any, model: Any, path: Path, batches: Any, limit: float) -> str:
    """One engine for all batch sizes of a profile: its outputs at each of them."""
    import torch

    options, place = BuildOptions(batch_profile=PROFILE), path.with_name(f"profile-{path.name}")
    spec.build(model, batches[: PROFILE[1]].clone(), place, None, options).close()
    errors = []
    for count in PROFILE:
        batch = batches[:count].clone()
        twin = spec.load(place, batch, options)
        with torch.inference_mode():
            expected = model(batch)
            errors.append(float((twin(batch) - expected).abs().max() / expected.abs().max()))
        twin.close()
    assert max(errors) <= limit, f"batch profile: error {max(errors):.1e}, tolerance {limit:g}"
    return f"batches of {', '.join(map(str, PROFILE))} in one engine: error {max(errors):.1e}"
