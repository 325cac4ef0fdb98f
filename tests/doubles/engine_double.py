"""The running half of the double of TensorRT: runtime, engine, context; I/O by index up to 8, by name from 8.5 on."""

from __future__ import annotations

import ctypes
import hashlib
import json
import types
from typing import Any, Dict, List, Tuple

MAGIC = b"double of an engine\n"
# numpy's names of TensorRT's types, and ONNX's numbers of them.
NUMPY = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "BOOL": "bool", "INT64": "int64"}
ONNX = {1: "FLOAT", 10: "HALF", 3: "INT8", 6: "INT32", 9: "BOOL", 7: "INT64"}

Port = Tuple[str, bool, Tuple[int, ...], Any]


def add(trt: types.ModuleType, numbers: tuple) -> None:
    """Adds what this version offers of the running half."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = checked(logger)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *exception: Any) -> None: ...

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
            trt.double.calls.append("deserialise")
            try:
                facts, model = _unpacked(bytes(serialized_engine))
                if facts["version"] != trt.__version__:
                    raise ValueError(
                        "The engine plan file is not compatible with this version of TensorRT, expecting library "
                        f"version {trt.__version__} got {facts['version']}, please rebuild."
                    )
            except ValueError as error:
                self._logger.log(trt.ILogger.ERROR, f"1: [stdArchiveReader.cpp::40] Error Code 1: {error}")
                return None
            return ICudaEngine(facts, model, self._logger)

    class ICudaEngine:
        def __init__(self, facts: Dict[str, Any], model: bytes, logger: Any) -> None:
            import onnx

            self._facts, self._model, self._logger = facts, model, logger
            graph = onnx.load_from_string(model).graph
            inputs, outputs = [(value, True) for value in graph.input], [(value, False) for value in graph.output]
            self._ports: List[Port] = [
                (
                    value.name,
                    is_input,
                    dimensions(value),
                    trt.DataType[ONNX[value.type.tensor_type.elem_type]],
                )
                for value, is_input in inputs + outputs
            ]
            self._axes = {
                value.name: [size.dim_param for size in value.type.tensor_type.shape.dim]
                for value, _ in inputs + outputs
            }
            trt.double.alive.add(self)

        def serialize(self) -> Any:
            return trt.IHostMemory(packed(self._facts, self._model))

        def create_execution_context(self) -> Any:
            return IExecutionContext(self)

        def _port(self, name: str) -> Port:
            return next(port for port in self._ports if port[0] == name)

    class IExecutionContext:
        def __init__(self, engine: ICudaEngine) -> None:
            import onnxruntime

            quiet = onnxruntime.SessionOptions()
            quiet.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(engine._model, quiet, providers=["CPUExecutionProvider"])
            self._engine = engine
            self._addresses: Dict[str, int] = {}
            self._axes: Dict[str, int] = {}
            self._shapes: Dict[str, Tuple[int, ...]] = {}
            trt.double.alive.add(self)

        def _set_shape(self, name: str, shape: Tuple[int, ...]) -> bool:
            fewest, _, most = self._engine._facts["profile"][name]
            if not all(low <= size <= high for low, size, high in zip(fewest, shape, most)):
                self._engine._logger.log(trt.ILogger.ERROR, f"3: Supplied dimensions {shape} are out of the profile")
                return False
            axes = self._engine._axes[name]
            self._axes.update({axis: size for axis, size in zip(axes, shape) if axis})
            self._shapes = {}
            return True

        def _shape(self, port: Port) -> Tuple[int, ...]:
            shape = tuple(self._axes.get(axis, size) for axis, size in zip(self._engine._axes[port[0]], port[2]))
            if port[1] or -1 not in shape:
                return shape
            return self._output_shapes().get(port[0], shape)

        def _output_shapes(self) -> Dict[str, Tuple[int, ...]]:
            """Shapes of outputs that follow from the inputs' height and width; empty until all inputs have a shape."""
            import numpy

            inputs = {port[0]: (self._shape(port), NUMPY[port[3].name]) for port in self._engine._ports if port[1]}
            if not self._shapes and not any(-1 in shape for shape, _ in inputs.values()):
                zeros = {name: numpy.zeros(shape, dtype) for name, (shape, dtype) in inputs.items()}
                names = [port[0] for port in self._engine._ports if not port[1]]
                self._shapes = {name: found.shape for name, found in zip(names, self._session.run(names, zeros))}
            return self._shapes

        def _run(self, addresses: Dict[str, int], stream_handle: int) -> bool:
            if not isinstance(stream_handle, int):
                raise TypeError("execute_async(): incompatible function arguments")
            ports = self._engine._ports
            missing = [name for name, *_ in ports if not addresses.get(name)]
            if missing:
                self._engine._logger.log(trt.ILogger.ERROR, f"3: Address is not set for tensor {missing[0]}.")
                return False
            if any(-1 in self._shape(port) for port in ports):
                self._engine._logger.log(trt.ILogger.ERROR, "3: Input dimensions are not specified")
                return False
            views = {port[0]: _view(addresses[port[0]], self._shape(port), NUMPY[port[3].name]) for port in ports}
            names = [name for name, is_input, *_ in ports if not is_input]
            inputs = {name: view for name, view in views.items() if name not in names}
            for name, array in zip(names, self._session.run(names, inputs)):
                views[name][...] = array
            return True

    if numbers >= (8, 5):
        ICudaEngine.num_io_tensors = property(lambda self: len(self._ports))
        ICudaEngine.get_tensor_name = lambda self, index: self._ports[index][0]
        ICudaEngine.get_tensor_mode = lambda self, name: trt.TensorIOMode(1 if self._port(name)[1] else 2)
        ICudaEngine.get_tensor_shape = lambda self, name: self._port(name)[2]
        ICudaEngine.get_tensor_dtype = lambda self, name: self._port(name)[3]
        IExecutionContext.set_input_shape = lambda self, name, shape: self._set_shape(name, tuple(shape))
        IExecutionContext.get_tensor_shape = lambda self, name: self._shape(self._engine._port(name))
        IExecutionContext.set_tensor_address = lambda self, name, memory: self._addresses.update({name: memory}) is None
        IExecutionContext.execute_async_v3 = lambda self, stream_handle: self._run(self._addresses, stream_handle)
    if numbers < (10,):
        ICudaEngine.num_bindings = property(lambda self: len(self._ports))
        ICudaEngine.get_binding_name = lambda self, index: self._ports[index][0]
        ICudaEngine.binding_is_input = lambda self, index: self._ports[index][1]
        ICudaEngine.get_binding_shape = lambda self, index: self._ports[index][2]
        ICudaEngine.get_binding_dtype = lambda self, index: self._ports[index][3]
        IExecutionContext.set_binding_shape = lambda self, index, shape: self._set_shape(
            self._engine._ports[index][0], tuple(shape)
        )
        IExecutionContext.get_binding_shape = lambda self, index: self._shape(self._engine._ports[index])
        IExecutionContext.execute_async_v2 = lambda self, bindings, stream_handle: self._run(
            {port[0]: address for port, address in zip(self._engine._ports, bindings)}, stream_handle
        )
    for offered in (Runtime, ICudaEngine, IExecutionContext):
        setattr(trt, offered.__name__, offered)


def dimensions(value: Any) -> Tuple[int, ...]:
    """The shape of an ONNX graph's input or output, -1 where it is left open."""
    return tuple(-1 if size.dim_param else size.dim_value for size in value.type.tensor_type.shape.dim)


def checked(made: Any) -> Any:
    """A logger or monitor whose class called the constructor of its base, as the bindings demand."""
    if not getattr(made, "_constructed", False):
        raise TypeError(f"{type(made).__name__}: the __init__() of its base must be called when overriding __init__")
    return made


def packed(facts: Dict[str, Any], model: bytes) -> bytes:
    """The engine file: what it was built with, and the model, behind a checksum."""
    header = json.dumps(facts).encode()
    return MAGIC + hashlib.sha256(header + model).digest() + len(header).to_bytes(4, "big") + header + model


def _unpacked(plan: bytes) -> Tuple[Dict[str, Any], bytes]:
    if not plan.startswith(MAGIC):
        raise ValueError("Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed.)")
    digest, rest = plan[len(MAGIC) : len(MAGIC) + 32], plan[len(MAGIC) + 32 :]
    length = int.from_bytes(rest[:4], "big")
    header, model = rest[4 : 4 + length], rest[4 + length :]
    if hashlib.sha256(header + model).digest() != digest:
        raise ValueError("Serialization (Serialization assertion mSize == expected failed.)")
    return json.loads(header), model


def _view(address: int, shape: Tuple[int, ...], dtype: str) -> Any:
    """The memory at this address as an array that writes through."""
    import numpy

    count = int(numpy.prod(shape))
    memory = (ctypes.c_char * (numpy.dtype(dtype).itemsize * count)).from_address(address)
    return numpy.frombuffer(memory, dtype, count).reshape(shape)
