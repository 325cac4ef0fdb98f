"""How the double of torch2trt follows a forward pass: as the original does, by putting itself around torch's functions.

Each public function of torch, torch.Tensor and torch.nn.functional has a converter. A real one gives its result a
counterpart in the network; the others only print a line, and what they give has no counterpart or, written in place,
the one from before.
"""

from __future__ import annotations

import contextlib
import types
from typing import Any, Dict, Iterator, List

# Of torch2trt's real converters (at the commit of docs/tensorrt.md) those that the tests' models meet.
REAL = {
    "torch": ("cat", "flatten", "relu_", "sigmoid", "relu", "mul"),
    "torch.Tensor": ("__add__", "__mul__", "__rmul__", "__getitem__", "mean", "flatten", "view", "permute", "reshape",
                     "relu", "contiguous"),
    "torch.nn.functional": ("conv2d", "batch_norm", "relu", "relu_", "relu6", "max_pool2d", "linear", "normalize",
                            "adaptive_avg_pool2d", "interpolate"),
}  # fmt: skip
SILENT = ("torch.Tensor.dim", "torch.Tensor.size")


def converters() -> Dict[str, Dict[str, Any]]:
    """What the package calls CONVERTERS: for each function its converter, and where it is."""
    import torch

    owners = {"torch": torch, "torch.Tensor": torch.Tensor, "torch.nn.functional": torch.nn.functional}
    found = {}
    for owner, holder in owners.items():
        names = [name for name in dir(holder) if not name.startswith("_") and _is_function(getattr(holder, name))]
        for name in [*names, *REAL[owner]]:
            real, method = name in REAL[owner], f"{owner}.{name}"
            found[method] = {
                "converter": _convert if real else _ignore if method in SILENT else _warn,
                "is_real": real,
                "method_str": method,
                "method_impl": getattr(holder, name),
                "module": holder,
                "qual_name": name,
            }
    return found


@contextlib.contextmanager
def tracing(known: Dict[str, Dict[str, Any]]) -> Iterator[None]:
    """While it lasts, what these converters do happens to every tensor."""
    context = types.SimpleNamespace(lock=False)
    try:
        for converter in known.values():
            setattr(converter["module"], converter["qual_name"], _attached(context, converter))
        yield
    finally:
        for converter in known.values():
            setattr(converter["module"], converter["qual_name"], converter["method_impl"])


def _attached(context: Any, converter: Dict[str, Any]) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        outermost = not context.lock
        context.lock = context.lock or converter["is_real"]
        result = converter["method_impl"](*args, **kwargs)
        if outermost:
            context.method_args, context.method_kwargs, context.method_return = args, kwargs, result
            context.method_str = converter["method_str"]
            converter["converter"](context)
            context.lock = False
        return result

    return call


def tensors(value: Any) -> List[Any]:
    """The tensors of an output or of arguments."""
    if hasattr(value, "data_ptr"):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def _convert(context: Any) -> None:
    for tensor in tensors(context.method_return):
        tensor._trt = f"the output of {context.method_str}"


def _warn(context: Any) -> None:
    print(f"Warning: Encountered known unsupported method {context.method_str}")


def _ignore(context: Any) -> None: ...


def _is_function(value: Any) -> bool:
    return type(value).__name__ in ("function", "builtin_function_or_method", "method_descriptor")
