"""Puts the doubles in the place of the real packages for one test, and torch's CUDA streams on the host."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

from tests.doubles import tensorrt_double, torch2trt_double

STREAM = 7


def tensorrt(monkeypatch: Any, version: str) -> types.ModuleType:
    """The double of this version as an import finds it; torch's current stream has the handle STREAM."""
    import torch

    trt = tensorrt_double.make(version)
    monkeypatch.setitem(sys.modules, trt.__name__, trt)
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda device_index: STREAM, raising=False)
    return trt


def torch2trt(monkeypatch: Any, version: str) -> types.ModuleType:
    """Both doubles; returns torch2trt's, whose attribute `trt` is the other."""
    trt = tensorrt(monkeypatch, version)
    package = torch2trt_double.make(trt)
    monkeypatch.setitem(sys.modules, "torch2trt", package)
    monkeypatch.setitem(sys.modules, "torch2trt.dataset", package.dataset)
    return package


def machine(monkeypatch: Any, tmp_path: Path, gpu: bool = True, cuda: str = "12.6", **packages: str) -> None:
    """A machine with or without a GPU and a torch for CUDA, with these packages, none of which can be imported.

    packages: versions by name; an empty one makes a package that does not tell.
    """
    from fixtures.machine import facts as facts_of

    monkeypatch.setattr(facts_of, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(facts_of, "torch_cuda_build", lambda: cuda or None)
    for name, version in packages.items():
        package = tmp_path / name
        package.mkdir()
        line = f'__version__ = "{version}"\n' if version else ""
        (package / "__init__.py").write_text(f"{line}raise RuntimeError('{name} was imported')\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
