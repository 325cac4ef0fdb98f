"""Tests of facts.py on recorded samples: GPU, versions, driver and processor, all without torch."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.machine import facts as machine_facts
from tests.helpers.recorded_machines import SAMPLES, tree


@pytest.fixture(autouse=True)
def visible(monkeypatch):
    """Clears any environment variable that would hide the samples' GPUs."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize("sample", SAMPLES)
def test_gpu_is_detected_by_its_device_files(tmp_path, monkeypatch, sample):
    root = tree(tmp_path, SAMPLES[sample])
    assert machine_facts.has_nvidia_gpu(root)
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not machine_facts.has_nvidia_gpu(root)


@pytest.mark.parametrize(
    "files, expected",
    [
        (["dev/null"], False),
        (["dev/nvidiactl"], False),
        (["dev/nvidia0"], False),
        (["dev/dxg"], False),
        (["dev/dxg", "usr/lib/wsl/lib/libcuda.so.1"], True),
        (["dev/nvidiactl", "dev/nvidia-uvm"], False),
    ],
)
def test_gpu_is_not_detected_if_a_device_file_is_missing(tmp_path, files, expected):
    assert machine_facts.has_nvidia_gpu(tree(tmp_path, dict.fromkeys(files, ""))) is expected


@pytest.mark.parametrize(
    "source, expected",
    [
        ("__version__ = '2.15.0+cu132'\ncuda: Optional[str] = '13.2'\nhip: Optional[str] = None\n", "13.2"),
        ("__version__ = '2.1.0a0+41361538.nv23.06'\ncuda = '11.4'\n", "11.4"),
        ("__version__ = '2.15.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n", None),
        ("__version__ = '2.9.0+rocm6.4'\ncuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", None),
        ("", None),
    ],
)
def test_cuda_build_is_read_from_torchs_version_file(tmp_path, monkeypatch, source, expected):
    tree(tmp_path, {"torch/__init__.py": "raise AssertionError('torch was imported')", "torch/version.py": source})
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert machine_facts.torch_cuda_build() == expected


def test_cuda_build_without_torch(monkeypatch):
    monkeypatch.setattr(machine_facts, "find_spec", lambda name: None)
    assert machine_facts.torch_cuda_build() is None


def test_onnxruntimes_version_is_read_from_the_file_that_would_be_imported(monkeypatch, tmp_path):
    """Not from a distribution's metadata: onnxruntime-gpu may shadow an older onnxruntime."""
    origin = tmp_path / "__init__.py"
    origin.write_text('"""A package."""\n__version__ = "1.31.1"\n    __version__ = "9"\n')
    spec = SimpleNamespace(origin=str(origin))
    monkeypatch.setattr(machine_facts, "find_spec", lambda name: spec if name == "onnxruntime" else None)
    assert machine_facts._stated_version("onnxruntime") == "1.31.1"
    assert machine_facts._stated_version("absent") is None


def test_collection_time_helpers_import_no_torch(root):
    code = (
        "import sys; from twins.machine import facts, jetson;"
        "facts.has_nvidia_gpu(), facts.torch_cuda_build(), jetson.is_jetson();"
        "print(sorted({'torch', 'tensorrt', 'psutil', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize("sample, expected", [("6.2", "540.4.0"), ("desktop", "580.159.04")])
def test_driver_from_proc(tmp_path, sample, expected):
    assert machine_facts.driver_version(tree(tmp_path, SAMPLES[sample])) == expected


@pytest.mark.parametrize(
    "printed, expected",
    [("580.95.05\n580.95.05\n", "580.95.05"), ("", None), ("[N/A]\n", None), ("NVIDIA-SMI has failed\n", None)],
)
def test_driver_from_nvidia_smi(tmp_path, monkeypatch, printed, expected):
    monkeypatch.setattr(machine_facts, "_output", lambda *command: printed)
    assert machine_facts.driver_version(tmp_path) == expected


@pytest.mark.parametrize(
    "number, expected", [(92000, "9.20.0"), (91301, "9.13.1"), (8600, "8.6.0"), (8904, "8.9.4"), (None, None)]
)
def test_cudnn_version(number, expected):
    assert machine_facts.cudnn_version(number) == expected


def test_operating_system_and_cpu(tmp_path):
    desktop = tree(tmp_path / "desktop", SAMPLES["desktop"])
    assert machine_facts.operating_system(desktop) == "Fedora Linux 42 (Workstation Edition)"
    assert machine_facts.cpu_model(desktop) == "12th Gen Intel(R) Core(TM) i5-12400F"
    assert machine_facts.operating_system(tree(tmp_path / "jetson", SAMPLES["5.1"])) == "Ubuntu 20.04.5 LTS"
    assert machine_facts.operating_system(tmp_path / "bare") and machine_facts.cpu_model(tmp_path / "bare")


def test_a_command_that_is_missing_fails_or_hangs_raises_nothing(tmp_path, monkeypatch):
    assert machine_facts._output("no-such-command-anywhere") == ""
    assert machine_facts._output(sys.executable, "-c", "print('MAXN'); raise SystemExit(3)") == "MAXN\n"

    def hang(*arguments: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    monkeypatch.setattr(subprocess, "run", hang)
    assert machine_facts._output("nvidia-smi") == ""
