"""What the double of TensorRT for RTX has beyond TensorRT's: targets of a build, run-time options, a runtime cache."""

from __future__ import annotations

import enum
import json
import types
from typing import Any, Dict, Optional

# In the words of 1.7.1.116 on an H200.
UNSUPPORTED_GPU = (
    "The engine cannot run on this GPU, which has compute capability 9.0. Supported: 8.0 8.6 8.9 12.0 12.1 >12.0"
)


def add(trt: types.ModuleType) -> None:
    """Adds it to the module, and to `trt.double`:

    driver: of the machine, which a runtime cache must match. compiled: how many kernels each new context compiled.
    strategies: (kernel specialisation, graph strategy) of each new context. unsupported_gpu: the runtime refuses all.
    """
    trt.double.driver, trt.double.compiled, trt.double.strategies = "580.159", [], []
    trt.double.unsupported_gpu = False
    trt.ComputeCapability = enum.IntEnum(
        "ComputeCapability", {"NONE": 0, "CURRENT": 1, "SM75": 75, "SM80": 80, "SM86": 86, "SM89": 89, "SM120": 120}
    )
    trt.CudaGraphStrategy = enum.IntEnum("CudaGraphStrategy", {"DISABLED": 0, "WHOLE_GRAPH_CAPTURE": 1})
    trt.DynamicShapesKernelSpecializationStrategy = enum.IntEnum(
        "DynamicShapesKernelSpecializationStrategy", {"LAZY": 0, "EAGER": 1, "NONE": 2}
    )

    class IRuntimeCache:
        def __init__(self) -> None:
            self._kernels: Dict[str, str] = {}

        def _environment(self) -> Dict[str, str]:
            return {"version": trt.__version__, "driver": trt.double.driver}

        def deserialize(self, blob: bytes) -> bool:
            try:
                stored = json.loads(bytes(blob))
                if stored["environment"] != self._environment():
                    return False
                self._kernels = dict(stored["kernels"])
            except (ValueError, LookupError, TypeError):
                return False
            return True

        def serialize(self) -> Any:
            stored = {"environment": self._environment(), "kernels": self._kernels}
            return trt.IHostMemory(json.dumps(stored).encode())

    class IRuntimeConfig:
        cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED
        dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.LAZY

        def __init__(self) -> None:
            self._cache: Optional[IRuntimeCache] = None

        def create_runtime_cache(self) -> IRuntimeCache:
            return IRuntimeCache()

        def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
            self._cache = cache
            return True

    engine_class, plain = trt.ICudaEngine, trt.ICudaEngine.create_execution_context

    def create_execution_context(self: Any, runtime_config: Optional[IRuntimeConfig] = None) -> Any:
        config = runtime_config or IRuntimeConfig()
        cache = config._cache or IRuntimeCache()
        wanted = {f"{name} {shape}": "code" for name, _, shape, _ in self._ports}
        trt.double.compiled.append(len(set(wanted) - set(cache._kernels)))
        trt.double.strategies.append(
            (config.dynamic_shapes_kernel_specialization_strategy.name, config.cuda_graph_strategy.name)
        )
        cache._kernels.update(wanted)
        return plain(self)

    engine_class.create_runtime_config = lambda self: IRuntimeConfig()
    engine_class.create_execution_context = create_execution_context

    deserialise = trt.Runtime.deserialize_cuda_engine

    def deserialize_cuda_engine(self: Any, serialized_engine: bytes) -> Any:
        if trt.double.unsupported_gpu:
            self._logger.log(trt.ILogger.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {UNSUPPORTED_GPU}")
            return None
        return deserialise(self, serialized_engine)

    trt.Runtime.deserialize_cuda_engine = deserialize_cuda_engine

    def set_compute_capability(self: Any, compute_capability: int, index: int) -> bool:
        if index >= self.num_compute_capabilities:
            return False
        self._targets[index] = trt.ComputeCapability(compute_capability).name
        return True

    config_class = trt.IBuilderConfig
    config_class._targets = property(lambda self: self.__dict__.setdefault("targets", {}))
    config_class.num_compute_capabilities = property(
        lambda self: self.__dict__.get("count", 0), lambda self, count: self.__dict__.update(count=count)
    )
    config_class.set_compute_capability = set_compute_capability
    trt.IRuntimeCache, trt.IRuntimeConfig = IRuntimeCache, IRuntimeConfig
