"""TensorRT's real Python bindings without TensorRT: wheels from PyPI with libraries of empty functions.

The bindings are 1–2 MB, their libraries over a gigabyte. An import needs only what the bindings link to: nothing can be
built or run then, but every class, method and enum member is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Optional, Tuple

# Where the tests look for wheels and put those that they fetch.
FOLDER_VARIABLE = "TENSORRT_BINDINGS"
# Each with the last Python that it has a wheel for, None where that is 3.13 or newer; all have
# one for Python 3.8.
WHEELS = {
    "tensorrt-bindings==8.6.1": (3, 11),
    "tensorrt-cu12-bindings==10.3.0": (3, 12),
    "tensorrt-cu12-bindings==10.13.3.9": None,
    "tensorrt-cu12-bindings==10.16.1.11": None,
    "tensorrt-cu12-bindings==11.0.0.114": None,
    "tensorrt-cu13-bindings==11.4.0.106": None,
    "tensorrt-rtx-cu13-bindings==1.4.0.76": None,
    "tensorrt-rtx-cu13-bindings==1.6.1.120": None,
}
# What the bindings link to, by the package that they are.
LIBRARIES = {
    "tensorrt_bindings": ("libnvinfer.so", "libnvinfer_plugin.so", "libnvonnxparser.so", "libnvparsers.so"),
    "tensorrt_rtx_bindings": ("libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so"),
}
FUNCTIONS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
    # Of the parsers for UFF and Caffe, in 8 alone; C++ names.
    "_ZN11nvuffparser15createUffParserEv", "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv", "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
)  # fmt: skip
DOWNLOAD_TIMEOUT_S = 120


def without_wheel(requirement: str, python: Tuple[int, int]) -> Optional[str]:
    """Why it has no wheel for this Python; None if it must have one."""
    last = WHEELS[requirement]
    if last is None or python <= last:
        return None
    return f"{requirement} has no wheel for Python {python[0]}.{python[1]}, {last[0]}.{last[1]} is the last"


def is_there(requirement: str, folder: Path) -> bool:
    """Whether the wheel of `name==version` for this Python is in the folder."""
    return any(folder.glob(_pattern(requirement)))


def wheel(requirement: str, folder: Path) -> Path:
    """The wheel of `name==version` in this folder, fetched from PyPI with pip if it is not there yet.

    Raises OSError with pip's last line where it cannot be had.
    """
    if not is_there(requirement, folder):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--retries=1", "--disable-pip-version-check", "--dest", str(folder), requirement]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DOWNLOAD_TIMEOUT_S)
        if done.returncode:
            lines = done.stdout.decode(errors="replace").strip().splitlines()
            raise OSError(f"pip cannot fetch {requirement}: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return next(folder.glob(_pattern(requirement)))


def _pattern(requirement: str) -> str:
    name, version = requirement.split("==")
    return f"{name.replace('-', '_')}-{version}-cp{sys.version_info[0]}{sys.version_info[1]}-*.whl"


def package_of(requirement: str) -> str:
    """The package that the wheel brings."""
    return "tensorrt_rtx_bindings" if requirement.startswith("tensorrt-rtx") else "tensorrt_bindings"


def unpack(wheel_path: Path, folder: Path) -> Path:
    """Unpacks a wheel and puts stubs of its libraries next to its extension module; returns what to put on the path."""
    with zipfile.ZipFile(wheel_path) as archive:
        archive.extractall(folder)
    package = next(folder / name for name in LIBRARIES if (folder / name).is_dir())
    major = wheel_path.name.split("-")[1].split(".")[0]
    source, stub = folder / "stub.c", folder / "stub.so"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", str(stub), str(source)], check=True)
    for library in LIBRARIES[package.name]:
        shutil.copy(stub, package / f"{library}.{major}")  # The bindings look beside themselves ($ORIGIN).
    return folder
