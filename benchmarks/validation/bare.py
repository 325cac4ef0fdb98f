"""What the validation scripts compare with: bare calls of a model, an engine or a graph on a GPU."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any, Callable, List, Tuple

WARM_UP_CALLS, CALLS = 50, 500


def median_s(call: Callable[[], Any]) -> float:
    """Median seconds of a call with synchronisation, after a warm-up."""
    import torch

    for _ in range(WARM_UP_CALLS):
        call()
    torch.cuda.synchronize()
    seconds: List[float] = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def graph(module: Any, batch: Any) -> Callable[[], None]:
    """Replays a CUDA graph of `module(batch)`; captured as torch's notes on CUDA graphs do."""
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


def context(engine_path: Path, batch: Any) -> Tuple[Callable[[], Any], List[Any]]:
    """(call, what must stay alive): a call of an engine's context with everything set beforehand, on torch's stream."""
    import tensorrt as trt
    import torch

    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(engine_path.read_bytes())
    run = engine.create_execution_context()
    stream = torch.cuda.current_stream().cuda_stream
    if hasattr(engine, "num_io_tensors"):
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        buffers = [batch if name == "input" else torch.empty(tuple(engine.get_tensor_shape(name)), device=batch.device)
                   for name in names]  # fmt: skip
        for name, buffer in zip(names, buffers):
            run.set_tensor_address(name, buffer.data_ptr())
        return (lambda: run.execute_async_v3(stream)), [runtime, engine, buffers]
    shapes = [tuple(engine.get_binding_shape(index)) for index in range(engine.num_bindings)]
    buffers = [batch if engine.binding_is_input(index) else torch.empty(shape, device=batch.device)
               for index, shape in enumerate(shapes)]  # fmt: skip
    addresses = [buffer.data_ptr() for buffer in buffers]
    return (lambda: run.execute_async_v2(addresses, stream)), [runtime, engine, buffers]
