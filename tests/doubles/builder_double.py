"""The building half of the double of TensorRT: network, parser, config, timing cache, builder, progress monitor."""

from __future__ import annotations

import json
import types
from typing import Any, Dict, List, Optional, Tuple

from tests.doubles.engine_double import checked, dimensions, packed


class ITensor:
    def __init__(self, name: str, shape: Tuple[int, ...]) -> None:
        self._name, self._shape = name, shape

    name = property(lambda self: self._name)
    shape = property(lambda self: self._shape)


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self._flags, self._onnx = flags, None

    num_inputs = property(lambda self: len(self._onnx.graph.input))
    num_layers = property(lambda self: len(self._onnx.graph.node))

    def get_input(self, index: int) -> ITensor:
        entry = self._onnx.graph.input[index]
        return ITensor(entry.name, dimensions(entry))


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: Dict[str, Any] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        self._shapes[input] = [tuple(shape) for shape in (min, opt, max)]


class IHostMemory(bytes):
    """The real one offers the buffer protocol, which Python classes cannot before 3.12; `bytes` does."""

    nbytes = property(len)


class ITimingCache:
    def __init__(self, version: str, known: Dict[str, float]) -> None:
        self._version, self._known = version, known

    def serialize(self) -> IHostMemory:
        return IHostMemory(json.dumps({"version": self._version, "known": self._known}).encode())


class ParserError:
    def __init__(self, node: int, desc: str) -> None:
        self._node, self._desc = node, desc

    def node(self) -> int:
        return self._node

    def desc(self) -> str:
        return self._desc


def add(trt: types.ModuleType, numbers: tuple) -> None:
    """Adds what this version offers of the building half."""

    class IBuilderConfig:
        def __init__(self, logger: Any) -> None:
            self._logger, self._flags, self._pools = logger, {trt.BuilderFlag.TF32}, {}
            self._cache: Optional[ITimingCache] = None
            self._monitor: Any = None
            self._profile: Optional[IOptimizationProfile] = None

        def set_flag(self, flag: int) -> None:
            self._flags.add(trt.BuilderFlag(flag))

        def clear_flag(self, flag: int) -> None:
            self._flags.discard(trt.BuilderFlag(flag))

        def set_memory_pool_limit(self, pool: int, pool_size: int) -> None:
            self._pools[trt.MemoryPoolType(pool)] = pool_size

        def create_timing_cache(self, serialized_timing_cache: bytes) -> Optional[ITimingCache]:
            if not serialized_timing_cache:
                return ITimingCache(trt.__version__, {})
            try:
                return ITimingCache(**json.loads(serialized_timing_cache))
            except (ValueError, TypeError, AttributeError):
                self._logger.log(trt.ILogger.ERROR, "Timing cache is corrupted")
                return None

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
            if cache._version != trt.__version__ and not ignore_mismatch:
                self._logger.log(trt.ILogger.ERROR, "Timing cache was made by another version")
                return False
            self._cache = cache
            return True

        def get_timing_cache(self) -> Optional[ITimingCache]:
            return self._cache

        def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
            self._profile = profile
            return 0

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: Any) -> None:
            checked(logger)
            self._network = network
            self._errors: List[ParserError] = []

        def parse_from_file(self, model: str) -> bool:
            import onnx

            trt.double.calls.append("parse")
            try:
                parsed = onnx.load(model)
                parsed.graph.input[0]
            except Exception:  # noqa: BLE001
                self._errors.append(ParserError(-1, f"Failed to parse the ONNX model: {model}"))
                return False
            self._errors += [ParserError(*refused) for refused in _refused(parsed, self._network._flags, numbers)]
            self._network._onnx = parsed
            return not self._errors

        num_errors = property(lambda self: len(self._errors))

        def get_error(self, index: int) -> ParserError:
            return self._errors[index]

    class Builder:
        def __init__(self, logger: Any) -> None:
            self._logger = checked(logger)

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            return INetworkDefinition(flags)

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig(self._logger)

        def build_serialized_network(
            self, network: INetworkDefinition, config: IBuilderConfig
        ) -> Optional[IHostMemory]:
            problem = _unbuildable(network, config, trt)
            if problem:
                self._logger.log(trt.ILogger.ERROR, f"2: [ltWrapper.cpp::setupHeuristic::327] Error Code 2: {problem}")
                self._logger.log(
                    trt.ILogger.ERROR, "2: [builder.cpp::buildSerializedNetwork::636] Error Code 2: Internal"
                )
                return None
            nodes, flags = network._onnx.graph.node, sorted(flag.name for flag in config._flags)
            _show_progress(config._monitor, len(nodes))
            layers = {f"{node.op_type} {index} {flags}": 0.1 for index, node in enumerate(nodes)}
            known = config._cache._known if config._cache else {}
            trt.double.timed.append(len(set(layers) - set(known)))
            known.update(layers)
            trt.double.built = config
            facts = {"version": trt.__version__, "flags": flags, "network_flags": network._flags}
            facts["profile"] = config._profile._shapes if config._profile else {}
            facts["verbosity"] = config.profiling_verbosity.name
            trt.double.verbosities.append(facts["verbosity"])
            return IHostMemory(packed(facts, network._onnx.SerializeToString()))

    if numbers < (10,):
        IBuilderConfig.max_workspace_size = property(
            lambda self: self._pools[trt.MemoryPoolType.WORKSPACE],
            lambda self, size: self.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size),
        )
        Builder.build_engine = lambda self, network, config: trt.Runtime(self._logger).deserialize_cuda_engine(
            self.build_serialized_network(network, config) or b""
        )
    else:
        IBuilderConfig.progress_monitor = property(
            lambda self: self._monitor, lambda self, monitor: setattr(self, "_monitor", checked(monitor))
        )
        trt.IProgressMonitor = IProgressMonitor
    for offered in (
        ITensor,
        INetworkDefinition,
        IOptimizationProfile,
        IHostMemory,
        ITimingCache,
        ParserError,
        IBuilderConfig,
        OnnxParser,
        Builder,
    ):
        setattr(trt, offered.__name__, offered)


class IProgressMonitor:
    def __init__(self) -> None:
        self._constructed = True

    def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None: ...

    def step_complete(self, phase_name: str, step: int) -> bool: ...

    def phase_finish(self, phase_name: str) -> None: ...


def _refused(parsed: Any, flags: int, numbers: tuple) -> List[Tuple[int, str]]:
    """(node, reason) of what the real parser refuses: seen with 8.4.1, or in its documentation."""
    import onnx

    if numbers < (10,) and not flags & 1:
        return [(-1, "This version of the ONNX parser only supports networks with an explicit batch dimension")]
    constants = {tensor.name: tensor for tensor in parsed.graph.initializer}
    refused = []
    for index, node in enumerate(parsed.graph.node):
        if node.domain not in ("", "ai.onnx"):
            refused.append((index, f"No importer registered for op: {node.op_type}. Attempting to import as plugin."))
        if node.op_type == "Conv" and any(name not in constants for name in node.input[2:3]):
            refused.append((index, "The bias tensor is required to be an initializer for the Conv operator"))
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = onnx.numpy_helper.to_array(constants[node.input[2]])
            if zero.dtype != "int8" or zero.any():
                refused.append((index, "TensorRT only supports symmetric quantization: zero point must be int8 0"))
    return refused


def _unbuildable(network: Any, config: Any, trt: Any) -> Optional[str]:
    """Why an engine cannot be built, in the words of the real logger where they are known."""
    operators = {node.op_type for node in network._onnx.graph.node}
    if operators & trt.double.unsupported_kernels:
        return 'Assertion false && "Unsupported SM: 0x900" failed.'
    names, typed = {flag.name for flag in config._flags}, network._flags & 2
    if typed and names & {"FP16", "INT8"}:
        return "Builder flags FP16 and INT8 must not be set on a strongly typed network"
    dynamic = any(-1 in dimensions(entry) for entry in network._onnx.graph.input)
    if dynamic and config._profile is None:
        return "Network has dynamic or shape inputs, but no optimization profile has been defined."
    if "QuantizeLinear" in operators and not typed and hasattr(trt.BuilderFlag, "INT8") and "INT8" not in names:
        return "Networks with Q/DQ layers need the flag INT8 to be set"
    return None


def _show_progress(monitor: Any, steps: int) -> None:
    if monitor is None:
        return
    monitor.phase_start("Building Engine", None, steps)
    monitor.phase_start("Tactic selection", "Building Engine", 1)
    monitor.step_complete("Tactic selection", 0)
    for step in range(steps):
        assert monitor.step_complete("Building Engine", step) is True, "anything but True cancels the build"
    monitor.phase_finish("Tactic selection")
    monitor.phase_finish("Building Engine")
