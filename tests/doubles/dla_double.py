"""What the double of TensorRT before 11 has for a DLA: cores, placing layers, calibration, and its inspector.

Nobody has seen a DLA here. The words of its errors and the layers that it can run are the double's own; the names of
the API are held against NVIDIA's bindings like all others.
"""

from __future__ import annotations

import enum
import json
import types
from typing import Any, Dict, List

from tests.doubles.engine_double import _unpacked, packed

# The kinds of layers that matter here: what the double's DLA can run, and what it cannot.
TYPES = {"Conv": "CONVOLUTION", "Relu": "ACTIVATION", "MaxPool": "POOLING", "Constant": "CONSTANT"}
OTHERS = "SHUFFLE"
RUNS = ("CONVOLUTION", "ACTIVATION", "POOLING")


def add(trt: types.ModuleType) -> None:
    """Adds it to the module, and to `trt.double`:

    dla_cores: of the board; 0 unless a test sets it. cannot_run: operators of RUNS that its DLA cannot run either.
    ignores_dla: builds run everything on the GPU whatever was asked for. calibrated: batches that the builder took.
    """
    trt.double.dla_cores, trt.double.cannot_run, trt.double.ignores_dla = 0, set(), False
    trt.double.calibrated = 0
    trt.DeviceType = enum.IntEnum("DeviceType", {"GPU": 0, "DLA": 1})
    kinds = {name: number for number, name in enumerate(sorted({*TYPES.values(), OTHERS}))}
    trt.LayerType = enum.IntEnum("LayerType", kinds)

    class ILayer:
        def __init__(self, node: Any) -> None:
            self._node = node

        name = property(lambda self: self._node.name)
        type = property(lambda self: trt.LayerType[TYPES.get(self._node.op_type, OTHERS)])

    class IInt8EntropyCalibrator2:
        def __init__(self) -> None:
            self._constructed = True

    inform = trt.EngineInspector.get_engine_information

    def get_engine_information(self: Any, format: int) -> str:  # noqa: A002
        described, verbosity = (self._engine._facts.get(name) for name in ("described", "verbosity"))
        if described is None:
            return str(inform(self, format))
        found = described if verbosity == "DETAILED" else [layer["Name"] for layer in described]
        return json.dumps({"Layers": found, "Bindings": []})

    def can_run(config: Any, layer: Any) -> bool:
        precise = config._flags & {trt.BuilderFlag.FP16, trt.BuilderFlag.INT8}
        runs = layer.type.name in RUNS and layer._node.op_type not in trt.double.cannot_run
        return bool(precise) and runs

    plain = trt.Builder.build_serialized_network

    def build_serialized_network(self: Any, network: Any, config: Any) -> Any:
        on_dla = config.__dict__.get("default_device_type") == trt.DeviceType.DLA
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        problem = _problem(trt, network, config, layers, can_run) if on_dla else None
        if problem:
            self._logger.log(trt.ILogger.ERROR, problem)
            return None
        calibrator = config.__dict__.get("int8_calibrator")
        while calibrator is not None:
            batch = calibrator.get_batch([network.get_input(index).name for index in range(network.num_inputs)])
            if not batch:
                break
            assert all(isinstance(address, int) and address for address in batch)
            trt.double.calibrated += calibrator.get_batch_size()
        memory = plain(self, network, config)
        if memory is None or not on_dla:
            return memory
        facts, model = _unpacked(bytes(memory))
        placed = [not trt.double.ignores_dla and can_run(config, layer) for layer in layers]
        facts.update(core=config.DLA_core, described=_described(layers, placed))
        return trt.IHostMemory(packed(facts, model))

    deserialise = trt.Runtime.deserialize_cuda_engine

    def deserialize_cuda_engine(self: Any, serialized_engine: bytes) -> Any:
        engine = deserialise(self, serialized_engine)
        core = engine._facts.get("core") if engine is not None else None
        if core is not None and self.__dict__.get("DLA_core", -1) not in range(trt.double.dla_cores):
            self._logger.log(trt.ILogger.ERROR, "Cannot run an engine with layers on DLA: no such core")
            return None
        return engine

    trt.Builder.build_serialized_network = build_serialized_network
    trt.Builder.num_DLA_cores = property(lambda self: trt.double.dla_cores)
    trt.Runtime.deserialize_cuda_engine = deserialize_cuda_engine
    trt.INetworkDefinition.get_layer = lambda self, index: ILayer(self._onnx.graph.node[index])
    trt.IBuilderConfig.can_run_on_DLA = can_run
    for name in ("default_device_type", "DLA_core", "int8_calibrator"):
        setattr(trt.IBuilderConfig, name, _stored(name))
    trt.Runtime.DLA_core = _stored("DLA_core")
    trt.EngineInspector.get_engine_information = get_engine_information
    trt.ILayer = ILayer
    trt.IInt8EntropyCalibrator2 = IInt8EntropyCalibrator2
    for method in ("get_batch_size", "get_batch", "read_calibration_cache", "write_calibration_cache"):
        setattr(IInt8EntropyCalibrator2, method, lambda self, *arguments: None)


def _stored(name: str) -> property:
    """An attribute that keeps what is set."""
    return property(lambda self: self.__dict__.get(name), lambda self, value: self.__dict__.update({name: value}))


def _problem(trt: Any, network: Any, config: Any, layers: List[Any], can_run: Any) -> str:
    """Why this cannot be built for a DLA; empty if it can."""
    if config.DLA_core not in range(trt.double.dla_cores):
        return f"DLA core {config.DLA_core} is not available"
    if any(layer._node.op_type == "QuantizeLinear" for layer in layers):
        return "Q/DQ layers are not supported on DLA"
    if network._flags & 2:
        return "Strongly typed networks are not supported on DLA"
    fallback = trt.BuilderFlag.GPU_FALLBACK in config._flags
    left = [layer.name for layer in layers if layer.type.name != "CONSTANT" and not can_run(config, layer)]
    if left and not fallback:
        return f"{left[0]} cannot run on DLA and GPU fallback is not enabled"
    if trt.BuilderFlag.INT8 in config._flags and config.int8_calibrator is None:
        return "INT8 without a calibrator or dynamic ranges"
    return ""


def _described(layers: List[Any], placed: List[bool]) -> List[Dict[str, str]]:
    """The layers of the engine: neighbours on the DLA become one, between copies to and from it."""
    found: List[Dict[str, str]] = []
    group: List[str] = []
    for layer, on_dla in [*zip(layers, placed), (None, False)]:
        if on_dla:
            group.append(layer.name)
            continue
        if group:
            name = f"{{ForeignNode[{group[0]}...{group[-1]}]}}"
            found += [{"Name": f"{group[0]} to nvm"}, {"Name": name, "LayerType": "DLA"}]
            group = []
        if layer is not None:
            found.append({"Name": layer.name, "LayerType": layer.type.name})
    return found
