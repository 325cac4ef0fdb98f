"""Bare calls of a model, an engine or a graph on a GPU, for the validation scripts to compare with."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, List, Tuple

WARM_UP_CALLS, CALLS = 50, 500
# Of a GPU, for torch.cuda._sleep, which counts cycles.
FASTEST_CLOCK_HZ = 3e9


def median_s(call: Callable[[], Any], calls: int = CALLS) -> float:
    """Median seconds of a call with synchronisation, after a warm-up."""
    import torch

    for _ in range(WARM_UP_CALLS):
        call()
    torch.cuda.synchronize()
    seconds: List[float] = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def graph(module: Any, batch: Any) -> Callable[[], None]:
    """Replays a CUDA graph of `module(batch)`, captured as described in torch's notes on CUDA graphs."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(side):
        for _ in range(3):
            module(batch)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(captured):
        module(batch)
    return captured.replay


def medians_s(first: Callable[[], Any], second: Callable[[], Any], blocks: int = 10) -> Tuple[float, float]:
    """Median seconds of both calls with synchronisation, in alternating blocks, so that drift affects both equally."""
    taken: Tuple[List[float], List[float]] = ([], [])
    for _ in range(blocks):
        for call, seconds in zip((first, second), taken):
            seconds.append(median_s(call, CALLS // blocks))
    return statistics.median(taken[0]), statistics.median(taken[1])


def event_s(call: Callable[[], Any], call_s: float, calls: int = 100) -> float:
    """Median seconds between CUDA events around a call whose kernels are all queued before the first one starts.

    call_s: seconds of a call, roughly.
    """
    import torch

    seconds: List[float] = []
    for _ in range(calls):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(int(3 * call_s * FASTEST_CLOCK_HZ))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        seconds.append(start.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


def loaded(trt: ModuleType, engine_path: Path) -> Any:
    """The engine in a file; the bindings keep its runtime alive."""
    return trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(engine_path.read_bytes())


def context(
    trt: ModuleType, engine_path: Path, batch: Any, capture: bool = False, engine: Any = None
) -> Tuple[Callable[[], Any], List[Any]]:
    """(call, what must stay alive): a call of an engine's context on torch's stream, with everything set up beforehand.

    trt: the module of the TensorRT that built it. capture: TensorRT for RTX captures the call in a CUDA graph.
    engine: already loaded, to share with other contexts; None reads the file.
    """
    import torch

    engine = loaded(trt, engine_path) if engine is None else engine
    kept: List[Any] = [engine]
    if hasattr(engine, "create_runtime_config"):
        runtime_config = engine.create_runtime_config()
        if capture:
            runtime_config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        kept.append(runtime_config)
        run = engine.create_execution_context(runtime_config)
    else:
        run = engine.create_execution_context()
    stream = torch.cuda.current_stream().cuda_stream
    if hasattr(engine, "num_io_tensors"):
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        buffers = [batch if name == "input" else torch.empty(tuple(engine.get_tensor_shape(name)), device=batch.device)
                   for name in names]  # fmt: skip
        for name, buffer in zip(names, buffers):
            run.set_tensor_address(name, buffer.data_ptr())
        return (lambda: run.execute_async_v3(stream)), [*kept, buffers]
    shapes = [tuple(engine.get_binding_shape(index)) for index in range(engine.num_bindings)]
    buffers = [batch if engine.binding_is_input(index) else torch.empty(shape, device=batch.device)
               for index, shape in enumerate(shapes)]  # fmt: skip
    addresses = [buffer.data_ptr() for buffer in buffers]
    return (lambda: run.execute_async_v2(addresses, stream)), [*kept, buffers]
