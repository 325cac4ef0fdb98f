"""Layers of the double of TensorRT: its profiler, engine inspector and profiling verbosity.

An engine's layers are the nodes of its graph, with an activation fused into the convolution before it, and a
reformatting before the first of them.
"""

from __future__ import annotations

import enum
import json
import types
from typing import Any, Dict, List

ACTIVATIONS = ("Relu", "Clip")
FORMATS = {
    1: "Row major linear FP32",
    10: "Channel major FP16 format where channel % 8 == 0",
    3: "Row major Int8 format",
}


def add(trt: types.ModuleType) -> None:
    """Adds it to the module, and `layer_ms` to `trt.double`: by name of a layer the time that is reported for it.

    Of a layer that is not there, 0.1 ms. `verbosities`: of each engine built.
    """
    trt.double.layer_ms, trt.double.verbosities = {}, []
    trt.ProfilingVerbosity = enum.IntEnum("ProfilingVerbosity", {"LAYER_NAMES_ONLY": 0, "NONE": 1, "DETAILED": 2})
    trt.LayerInformationFormat = enum.IntEnum("LayerInformationFormat", {"ONELINE": 0, "JSON": 1})
    trt.IBuilderConfig.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY

    class IProfiler:
        def __init__(self) -> None:
            self._constructed = True

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            raise NotImplementedError('Tried to call pure virtual function "IProfiler::report_layer_time"')

    class EngineInspector:
        execution_context: Any = None

        def __init__(self, engine: Any) -> None:
            self._engine = engine

        def get_engine_information(self, format: int) -> str:  # noqa: A002
            assert format == trt.LayerInformationFormat.JSON, "the double writes JSON alone"
            detailed = self._engine._facts["verbosity"] == "DETAILED"
            found = layers(self._engine._model, detailed)
            return json.dumps({"Layers": found if detailed else [layer["Name"] for layer in found], "Bindings": []})

    run = trt.IExecutionContext._run

    def profiled(self: Any, addresses: Dict[str, int], stream_handle: int) -> bool:
        done = run(self, addresses, stream_handle)
        profiler = getattr(self, "profiler", None)
        if done and profiler is not None:
            if not getattr(profiler, "_constructed", False):
                raise TypeError("IProfiler.__init__() must be called when overriding __init__")
            for layer in layers(self._engine._model, detailed=False):
                profiler.report_layer_time(layer["Name"], trt.double.layer_ms.get(layer["Name"], 0.1))
        return bool(done)

    trt.IExecutionContext._run = profiled
    trt.IExecutionContext.profiler = None
    trt.ICudaEngine.create_engine_inspector = lambda self: EngineInspector(self)
    trt.IProfiler, trt.EngineInspector = IProfiler, EngineInspector


def layers(model: bytes, detailed: bool) -> List[Dict[str, Any]]:
    """The layers of a serialised graph as the inspector has them."""
    import onnx

    parsed = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    graph = parsed.graph
    types_of = {
        value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)
    }
    groups: List[List[Any]] = []
    for node in graph.node:
        before = groups[-1] if groups else []
        if (
            node.op_type in ACTIVATIONS
            and before
            and before[-1].op_type == "Conv"
            and node.input[0] in before[-1].output
        ):
            before.append(node)
        else:
            groups.append([node])
    found = [_layer(group, types_of) for group in groups]
    if found:
        copy = f"Reformatting CopyNode for Input Tensor 0 to {found[0]['Name']}"
        tensors = found[0]["Inputs"]
        found.insert(0, {"Name": copy, "LayerType": "Reformat", "Inputs": tensors, "Outputs": tensors, "Metadata": ""})
    return found if detailed else [{"Name": layer["Name"]} for layer in found]


def _layer(group: List[Any], types_of: Dict[str, int]) -> Dict[str, Any]:
    def tensors(names: Any) -> List[Dict[str, Any]]:
        return [
            {"Name": name, "Location": "Device", "Format/Datatype": FORMATS.get(types_of[name], "Unknown")}
            for name in names
            if name in types_of
        ]

    return {
        "Name": " + ".join(node.name for node in group),
        "LayerType": "CaskConvolution" if group[0].op_type == "Conv" else group[0].op_type,
        "Inputs": tensors(group[0].input),
        "Outputs": tensors(group[-1].output),
        "TacticName": "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32" if group[0].op_type == "Conv" else "",
        "StreamId": 0,
        "Metadata": "\x1e".join(f"[ONNX Layer: {node.name}]" for node in group),
    }
