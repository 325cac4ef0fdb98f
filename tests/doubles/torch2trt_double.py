"""An executing double of the part of the module torch2trt that the suite calls; it works on the double of TensorRT.

It has the original's habits: it asks TensorRT for a new logger, builder and config at each conversion, leaves `_trt`
attributes on parameters and inputs that make the next conversion of them fail, goes on after an operator without
converter (tests/doubles/tracing_double.py), says nothing when TensorRT returns None, reads a whole batch from whatever
address a calibration set gives, and does not import beside a TensorRT without calibrators.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import importlib.machinery
import tempfile
import types
from pathlib import Path
from typing import Any, List

from fixtures.common.outputs import from_graph
from tests.doubles import tracing_double


def make(trt: types.ModuleType) -> types.ModuleType:
    """A module `torch2trt` on this double of TensorRT; AttributeError for one from 11 on, as on import of the real one.

    Its attribute `double` is for tests: `without_converter` (classes of modules), `calls` (keyword arguments of each
    conversion), `calibrated` (sums of the batches that were read).
    """
    import torch

    default_algorithm = trt.CalibrationAlgoType.ENTROPY_CALIBRATION
    package = types.ModuleType("torch2trt")
    package.__spec__ = importlib.machinery.ModuleSpec("torch2trt", None)
    package.__path__ = []
    package.trt = trt
    package.double = types.SimpleNamespace(without_converter=(), calls=[], calibrated=[])
    package.CONVERTERS = tracing_double.converters()
    package.dataset = types.ModuleType("torch2trt.dataset")

    class ListDataset:
        def __init__(self, items: Any = None) -> None:
            self.items = list(items or [])

        def __len__(self) -> int:
            return len(self.items)

        def __getitem__(self, index: int) -> Any:
            return self.items[index]

    package.dataset.ListDataset = ListDataset

    class TRTModule(torch.nn.Module):
        def __init__(self, engine: Any = None) -> None:
            super().__init__()
            self.engine = engine
            if engine is not None:
                self.context = engine.create_execution_context()

        def state_dict(self) -> Any:
            return collections.OrderedDict(
                engine=bytearray(self.engine.serialize()),
                input_names=["input"],
                output_names=["output"],
                input_flattener={"schema": [0], "size": 1},
                output_flattener={"schema": 0, "size": 1},
            )

        def load_state_dict(self, state: Any) -> None:
            with trt.Logger() as logger, trt.Runtime(logger) as runtime:
                self.engine = runtime.deserialize_cuda_engine(state["engine"])
                self.context = self.engine.create_execution_context()

        def forward(self, batch: Any) -> Any:
            ports = [(name, is_input, shape) for name, is_input, shape, _ in self.engine._ports]
            if tuple(batch.shape) != ports[0][2]:
                raise RuntimeError(f"setBindingDimensions: {tuple(batch.shape)} does not fit the profile {ports[0][2]}")
            outputs = [torch.empty(shape) for _, is_input, shape in ports if not is_input]
            addresses = [batch.contiguous().data_ptr(), *(output.data_ptr() for output in outputs)]
            self.context._run(dict(zip([name for name, *_ in ports], addresses)), 0)
            # The real one keeps the output's form in its `output_flattener`, this one in the outputs' names.
            return from_graph([name for name, is_input, *_ in ports if not is_input], outputs)

    def torch2trt(
        module: Any,
        inputs: List[Any],
        log_level: Any = trt.Logger.ERROR,
        fp16_mode: bool = False,
        max_workspace_size: int = 1 << 25,
        int8_mode: bool = False,
        int8_calib_dataset: Any = None,
        int8_calib_algorithm: Any = default_algorithm,
        use_onnx: bool = False,
    ) -> Any:
        choices = {"fp16_mode": fp16_mode, "int8_mode": int8_mode, "algorithm": int8_calib_algorithm}
        package.double.calls.append({**choices, "use_onnx": use_onnx, "max_workspace_size": max_workspace_size})
        module(*inputs)
        for tensor in [*inputs, *module.parameters()]:
            if hasattr(tensor, "_trt"):
                raise AttributeError("'NoneType' object has no attribute 'get_output'")
            tensor._trt = "a tensor of the network"
        with contextlib.nullcontext() if use_onnx else tracing_double.tracing(package.CONVERTERS):
            output = module(*inputs)
        if any(isinstance(layer, package.double.without_converter) for layer in module.modules()):
            raise AttributeError("'Tensor' object has no attribute '_trt'")
        for tensor in [] if use_onnx else tracing_double.tensors(output):
            tensor._trt  # noqa: B018  the output is marked
        builder = trt.Builder(trt.Logger(log_level))
        config = builder.create_builder_config()
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
        network._onnx = _graph(module, inputs[0])
        if hasattr(trt.Builder, "build_engine"):
            config.max_workspace_size = max_workspace_size
        if fp16_mode:
            config.set_flag(trt.BuilderFlag.FP16)
        if int8_mode:
            config.set_flag(trt.BuilderFlag.INT8)
            for (batch,) in (int8_calib_dataset[index] for index in range(len(int8_calib_dataset))):
                count = inputs[0].numel()
                values = (ctypes.c_float * count).from_address(batch.data_ptr())
                package.double.calibrated.append((len(batch), float(sum(values))))
        plan = builder.build_serialized_network(network, config)
        return TRTModule(None if plan is None else trt.Runtime(trt.Logger()).deserialize_cuda_engine(plan))

    package.torch2trt, package.TRTModule = torch2trt, TRTModule
    return package


def _graph(module: Any, example: Any) -> Any:
    """The module as ONNX, which stands in for the layers that converters add one by one."""
    import onnx

    from fixtures.onnx.export import export

    with tempfile.TemporaryDirectory() as folder:
        export(module, example, Path(folder, "graph.onnx"))
        return onnx.load(str(Path(folder, "graph.onnx")))
