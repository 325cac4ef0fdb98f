"""An executing double of the part of the modules tensorrt and tensorrt_rtx that the suite calls, for want of a GPU.

`make("10.3.0")` gives a module with the names that this version offers and no others. It parses real ONNX files, runs
them with ONNX Runtime on host pointers, and fails as the real one does: a parser with a list of errors, a builder and a
runtime that return None after an error on the logger, a context that returns False. tests/tensorrt/test_contract.py
holds it against the real bindings, so that it offers nothing that they do not.
"""

from __future__ import annotations

import enum
import importlib.machinery
import types
import warnings
import weakref
from typing import Any

from fixtures.tensorrt.package import RTX
from tests.doubles import builder_double, dla_double, engine_double, layers_double, rtx_double

VERSIONS = ("8.4.1.5", "8.6.1", "10.3.0", "10.13.3.9", "11.4.0.106")
RTX_VERSIONS = ("1.6.1.120", "1.7.1.116")
# The TensorRT whose API that of TensorRT for RTX is, but for what rtx_double.py adds.
API_OF_RTX = (11, 0)


def make(version: str) -> types.ModuleType:
    """A module `tensorrt` of this version, or `tensorrt_rtx` for one of RTX_VERSIONS.

    Its attribute `double` is for tests: `unsupported_kernels` (operators that no engine can be built with, as on a GPU
    too new), `timed` (how many layers each build timed afresh), `built` (the config of the last build), `alive`
    (engines and contexts not yet freed), `calls` (what was done in which order: plugins, parse, deserialise), and of
    TensorRT for RTX what `rtx_double.add` lists.
    """
    name = RTX.module if version in RTX_VERSIONS else "tensorrt"
    trt = types.ModuleType(name)
    trt.__spec__ = importlib.machinery.ModuleSpec(name, None)
    trt.__version__ = version
    trt.double = types.SimpleNamespace(
        unsupported_kernels=set(), timed=[], built=None, alive=weakref.WeakSet(), calls=[]
    )
    numbers = API_OF_RTX if name == RTX.module else tuple(int(part) for part in version.split("."))
    _add_enumerations(trt, numbers)
    _add_loggers(trt)
    builder_double.add(trt, numbers)
    engine_double.add(trt, numbers)
    layers_double.add(trt)
    if name == RTX.module:
        rtx_double.add(trt)
    elif numbers < (11,):
        dla_double.add(trt)
    return trt


class Deprecated:
    """What all classes share in Python: a `with` that warns."""

    def __enter__(self) -> Any:
        warnings.warn("Context managers for TensorRT types are deprecated.", DeprecationWarning, stacklevel=2)
        return self

    def __exit__(self, *exception: Any) -> None:
        pass


def _add_enumerations(trt: types.ModuleType, numbers: tuple) -> None:
    def add(name: str, **members: int) -> None:
        setattr(trt, name, enum.IntEnum(name, members))

    explicit = {"EXPLICIT_BATCH": 0} if numbers < (11,) else {}
    typed = {"STRONGLY_TYPED": 1} if numbers >= (10,) else {}
    add("NetworkDefinitionCreationFlag", **explicit, **typed)
    add("BuilderFlag", TF32=7, **({"FP16": 0, "INT8": 1, "GPU_FALLBACK": 3} if numbers < (11,) else {}))
    add("MemoryPoolType", WORKSPACE=0)
    add("DataType", FLOAT=0, HALF=1, INT8=2, INT32=3, BOOL=4, **({"INT64": 7} if numbers >= (10,) else {}))
    if numbers >= (8, 5):
        add("TensorIOMode", NONE=0, INPUT=1, OUTPUT=2)
    if numbers < (11,):
        add("CalibrationAlgoType", LEGACY_CALIBRATION=0, ENTROPY_CALIBRATION=1, ENTROPY_CALIBRATION_2=2)


def _add_loggers(trt: types.ModuleType) -> None:
    class ILogger(Deprecated):
        Severity = enum.IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

        def __init__(self) -> None:
            self._constructed = True

        def log(self, severity: int, msg: str) -> None:
            raise NotImplementedError('Tried to call pure virtual function "ILogger::log"')

    class Logger(ILogger):
        def __init__(self, min_severity: int = ILogger.WARNING) -> None:
            super().__init__()
            self.min_severity = min_severity

        def log(self, severity: int, msg: str) -> None:
            if severity <= self.min_severity:
                print(f"[TRT] {msg}")

    def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
        trt.double.calls.append("plugins")
        return bool(engine_double.checked(logger)) and namespace == ""

    trt.ILogger, trt.Logger, trt.init_libnvinfer_plugins = ILogger, Logger, init_libnvinfer_plugins
