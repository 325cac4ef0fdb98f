"""Tests of machine.py on recorded samples: Jetsons with JetPack 5.1, 6.2, 7.0 and 7.2, and a desktop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict

import pytest

from fixtures import jetson, machine

KEYS = {
    "ram_bytes",
    "os",
    "jetpack",
    "l4t",
    "tensorrt",
    "torch2trt",
    "onnxruntime",
    "torch",
    "torchvision",
    "pillow",
    "cuda",
    "cudnn",
    "gpu",
    "driver",
    "power_mode",
    "python",
    "gpu_compute_capability",
    "cpu_count",
    "cpu",
}

USERSPACE = "TARGET_USERSPACE_LIB_DIR=nvidia\nTARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia\n"
PACKAGE = "Status: install ok installed\nArchitecture: arm64\nVersion: {}\nDescription: NVIDIA's\n more\n"
JETPACK = "Package: nvidia-jetpack\n" + PACKAGE
L4T_CORE = "Package: nvidia-l4t-core\n" + PACKAGE
ARM_CPU = "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\nBogoMIPS\t: 62.50\n"

# As boards print them; the lines of /etc/nv_tegra_release are whole.
SAMPLES: Dict[str, Dict[str, str]] = {
    "5.1": {
        "etc/nv_tegra_release": "# R35 (release), REVISION: 2.1, GCID: 32413640, BOARD: t186ref, EABI: aarch64, "
        "DATE: Tue Jan 24 23:38:33 UTC 2023\n",
        "etc/os-release": 'NAME="Ubuntu"\nVERSION="20.04.5 LTS (Focal Fossa)"\nPRETTY_NAME="Ubuntu 20.04.5 LTS"\n',
        "var/lib/dpkg/status": L4T_CORE.format("35.2.1-20230124153320") + "\n" + JETPACK.format("5.1-b147"),
        "proc/cpuinfo": ARM_CPU,
        "dev/nvhost-gpu": "",
    },
    "6.2": {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
        "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\n" + USERSPACE,
        "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\n',
        "var/lib/dpkg/status": JETPACK.format("6.2+b77"),
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  "
        "Release Build  (buildbrain@mobile-u64-6336-d8000)  Tue Jan  7 17:35:12 PST 2025\n"
        "GCC version:  collect2: error: ld returned 1 exit status\n",
        "proc/cpuinfo": ARM_CPU,
        "dev/nvgpu/igpu0/ctrl": "",
    },
    "7.0": {
        "etc/nv_tegra_release": "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, "
        "DATE: Fri Aug 22 00:55:42 UTC 2025\n# KERNEL_VARIANT: oot\n" + USERSPACE + "INSTALL_TYPE=\n",
        "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
        "sys/firmware/devicetree/base/compatible": "nvidia,p4071-0000+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264\0",
        "dev/nvidiactl": "",
        "dev/nvidia0": "",
    },
    "7.2": {
        "etc/nv_tegra_release": "# R39 (release), REVISION: 2.0, GCID: 45755727, BOARD: generic, EABI: aarch64, "
        "DATE: Mon Jun  1 09:28:48 PM UTC 2026\n# KERNEL_VARIANT: oot\n" + USERSPACE,
        "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.4 LTS"\n',
        "var/lib/dpkg/status": JETPACK.format("7.2-b187"),
        "dev/nvmap": "",
    },
    "desktop": {
        "etc/os-release": "PRETTY_NAME='Fedora Linux 42 (Workstation Edition)'\n",
        "var/lib/dpkg/status": JETPACK.format("6.2+b77"),
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  "
        "Wed Apr 29 17:32:45 UTC 2026\n"
        "GCC version:  gcc version 7.5.0 (Ubuntu 7.5.0-3ubuntu1~18.04)\n",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: 12th Gen Intel(R) Core(TM) i5-12400F\n",
        "dev/nvidiactl": "",
        "dev/nvidia3": "",
    },
}


def tree(root: Path, files: Dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def visible(monkeypatch):
    """Facts are read anew, and no environment hides the GPUs of the samples."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine._facts.cache_clear()
    yield
    machine._facts.cache_clear()


# JetPack and L4T


@pytest.mark.parametrize(
    "sample, l4t, jetpack",
    [
        ("5.1", "35.2.1", "5.1"),
        ("6.2", "36.4.3", "6.2"),
        ("7.0", "38.2.0", "7.0"),
        ("7.2", "39.2.0", "7.2"),
        ("desktop", None, None),
    ],
)
def test_releases_of_recorded_machines(tmp_path, sample, l4t, jetpack):
    root = tree(tmp_path, SAMPLES[sample])
    assert jetson.is_jetson(root) == (l4t is not None)
    assert (jetson.l4t_release(root), jetson.jetpack_release(root)) == (l4t, jetpack)


@pytest.mark.parametrize("sample", ["5.1", "6.2", "7.0", "7.2"])
def test_jetpack_without_its_package_comes_from_the_table(tmp_path, sample):
    files = {name: text for name, text in SAMPLES[sample].items() if name != "var/lib/dpkg/status"}
    assert jetson.jetpack_release(tree(tmp_path, files)) == sample


def test_package_comes_before_the_table(tmp_path):
    root = tree(
        tmp_path,
        {
            **SAMPLES["6.2"],
            "var/lib/dpkg/status": JETPACK.format("6.2.1+b38"),
        },
    )
    assert (jetson.l4t_release(root), jetson.jetpack_release(root)) == ("36.4.3", "6.2.1")


@pytest.mark.parametrize("status", ["deinstall ok config-files", "install ok half-installed"])
def test_package_that_was_removed_does_not_count(tmp_path, status):
    packages = (
        f"Package: nvidia-jetpack-dev\nStatus: install ok installed\nVersion: 9.9\n\nPackage: nvidia-jetpack\n"
        f"Status: {status}\nVersion: 5.1.2-b104\n"
    )
    root = tree(tmp_path, {**SAMPLES["6.2"], "var/lib/dpkg/status": packages})
    assert jetson.jetpack_release(root) == "6.2"


def test_container_on_a_jetson_is_known_by_device_tree_and_package(tmp_path):
    root = tree(
        tmp_path, {"sys/firmware/devicetree/base/compatible": "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0"}
    )
    assert jetson.is_jetson(root) and jetson.l4t_release(root) is None and jetson.jetpack_release(root) is None
    tree(
        root,
        {"var/lib/dpkg/status": L4T_CORE.format("36.4.7-20250918154033")},
    )
    assert (jetson.l4t_release(root), jetson.jetpack_release(root)) == ("36.4.7", "6.2.1")


@pytest.mark.parametrize(
    "line, l4t, jetpack",
    [
        ("# R99 (release), REVISION: 1.2, GCID: 1", "99.1.2", None),
        ("# R36 (release), REVISION: 5, GCID: 1", "36.5", "6.2.2"),
        ("nothing of the kind", None, None),
    ],
)
def test_unknown_release_keeps_its_l4t(tmp_path, line, l4t, jetpack):
    root = tree(tmp_path, {"etc/nv_tegra_release": line})
    assert (jetson.l4t_release(root), jetson.jetpack_release(root)) == (l4t, jetpack)


# GPU, without torch


@pytest.mark.parametrize("sample", SAMPLES)
def test_gpu_is_seen_by_its_device_files(tmp_path, monkeypatch, sample):
    root = tree(tmp_path, SAMPLES[sample])
    assert machine.has_nvidia_gpu(root)
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not machine.has_nvidia_gpu(root)


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
def test_gpu_is_not_seen_where_half_of_it_is_missing(tmp_path, files, expected):
    assert machine.has_nvidia_gpu(tree(tmp_path, dict.fromkeys(files, ""))) is expected


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
    assert machine.torch_cuda_build() == expected


def test_cuda_build_without_torch(monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert machine.torch_cuda_build() is None


def test_onnxruntimes_version_is_that_of_the_file_that_would_be_imported(monkeypatch, tmp_path):
    """Not that of a distribution: onnxruntime-gpu may lie in front of an older onnxruntime."""
    origin = tmp_path / "__init__.py"
    origin.write_text('"""A package."""\n__version__ = "1.31.1"\n    __version__ = "9"\n')
    spec = SimpleNamespace(origin=str(origin))
    monkeypatch.setattr(machine, "find_spec", lambda name: spec if name == "onnxruntime" else None)
    assert machine._stated_version("onnxruntime") == "1.31.1"
    assert machine._stated_version("absent") is None


def test_collection_time_helpers_import_no_torch(root):
    code = (
        "import sys; from fixtures import jetson, machine;"
        "machine.has_nvidia_gpu(), machine.torch_cuda_build(), jetson.is_jetson();"
        "print(sorted({'torch', 'tensorrt', 'psutil', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip() == b"[]"


# Text that tools print


@pytest.mark.parametrize(
    "text, expected",
    [
        ("NV Power Mode: MAXN\n0\n", "MAXN"),
        (
            "NV Fan Mode:quiet\nNV Power Mode: MODE_15W_DESKTOP\n7\nNVPM ERROR: failed to read PARAM EMC\n",
            "MODE_15W_DESKTOP",
        ),
        ("NVPM VERB: parsing done\nNVPM VERB: Current mode: NV Power Mode: 25W\n1\n", "25W"),
        ("NV Power Mode: \n0\n", None),
        ("", None),
    ],
)
def test_power_mode(text, expected):
    assert jetson.power_mode(text) == expected


@pytest.mark.parametrize("sample, expected", [("6.2", "540.4.0"), ("desktop", "580.159.04")])
def test_driver_from_proc(tmp_path, sample, expected):
    assert machine.driver_version(tree(tmp_path, SAMPLES[sample])) == expected


@pytest.mark.parametrize(
    "printed, expected",
    [("580.95.05\n580.95.05\n", "580.95.05"), ("", None), ("[N/A]\n", None), ("NVIDIA-SMI has failed\n", None)],
)
def test_driver_from_nvidia_smi(tmp_path, monkeypatch, printed, expected):
    monkeypatch.setattr(machine, "_output", lambda *command: printed)
    assert machine.driver_version(tmp_path) == expected


@pytest.mark.parametrize(
    "number, expected", [(92000, "9.20.0"), (91301, "9.13.1"), (8600, "8.6.0"), (8904, "8.9.4"), (None, None)]
)
def test_cudnn_version(number, expected):
    assert machine.cudnn_version(number) == expected


def test_operating_system_and_cpu(tmp_path):
    desktop = tree(tmp_path / "desktop", SAMPLES["desktop"])
    assert machine.operating_system(desktop) == "Fedora Linux 42 (Workstation Edition)"
    assert machine.cpu_model(desktop) == "12th Gen Intel(R) Core(TM) i5-12400F"
    assert machine.operating_system(tree(tmp_path / "jetson", SAMPLES["5.1"])) == "Ubuntu 20.04.5 LTS"
    assert machine.operating_system(tmp_path / "bare") and machine.cpu_model(tmp_path / "bare")


def test_command_that_is_absent_fails_or_hangs_prints_nothing_worse(tmp_path, monkeypatch):
    assert machine._output("no-such-command-anywhere") == ""
    assert machine._output(sys.executable, "-c", "print('MAXN'); raise SystemExit(3)") == "MAXN\n"

    def hang(*arguments: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    monkeypatch.setattr(subprocess, "run", hang)
    assert machine._output("nvidia-smi") == ""


# All facts


def fake_torch(monkeypatch: Any, properties: Any) -> None:
    """A torch with this GPU; properties may be an error to raise."""

    def get_device_properties(device: str) -> Any:
        if isinstance(properties, Exception):
            raise properties
        return properties

    cuda = SimpleNamespace(get_device_properties=get_device_properties, is_available=lambda: True)
    cudnn = SimpleNamespace(version=lambda: 90300)
    version = SimpleNamespace(cuda="12.6")
    fake = SimpleNamespace(__version__="2.5.0", cuda=cuda, version=version, backends=SimpleNamespace(cudnn=cudnn))
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(__version__="0.20.0"))


ORIN = SimpleNamespace(name="Orin", major=8, minor=7)


def test_facts_of_a_cpu_run(monkeypatch):
    fake_torch(monkeypatch, RuntimeError("a run on the CPU must not ask for a GPU"))
    facts = machine.facts("cpu")
    assert set(facts) == KEYS
    assert facts["torch"] == "2.5.0" and facts["torchvision"] == "0.20.0" and facts["ram_bytes"] > 2**20
    assert [facts[key] for key in ("cuda", "cudnn", "gpu", "gpu_compute_capability", "driver")] == [None] * 5


def test_facts_of_a_jetson(tmp_path, monkeypatch):
    import json

    fake_torch(monkeypatch, ORIN)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.3.0"))
    monkeypatch.setattr(
        machine, "_output", lambda *command: "NV Power Mode: MAXN\n0\n" if command[0] == "nvpmodel" else ""
    )
    board = {"sys/firmware/devicetree/base/model": "NVIDIA Jetson AGX Orin Developer Kit\0"}
    facts = machine.facts("cuda:0", tree(tmp_path, {**SAMPLES["6.2"], **board}))
    expected = {
        "gpu": "Orin (NVIDIA Jetson AGX Orin Developer Kit)",
        "gpu_compute_capability": "8.7",
        "cuda": "12.6",
        "cudnn": "9.3.0",
        "driver": "540.4.0",
        "jetpack": "6.2",
        "l4t": "36.4.3",
        "power_mode": "MAXN",
        "os": "Ubuntu 22.04.5 LTS",
        "tensorrt": "10.3.0",
    }
    assert {key: facts[key] for key in expected} == expected
    assert set(facts) == KEYS and json.loads(json.dumps(facts)) == facts
    line = machine.describe(facts)
    for part in (
        "Orin (NVIDIA Jetson AGX Orin Developer Kit)",
        "JetPack 6.2 (L4T 36.4.3)",
        "power mode MAXN",
        "TensorRT 10.3.0",
    ):
        assert part in line
    assert "\n" not in line and "None" not in line


def test_facts_survive_a_lost_gpu_and_a_broken_tensorrt(tmp_path, monkeypatch):
    fake_torch(monkeypatch, RuntimeError("CUDA error: device-side assert triggered"))
    tree(tmp_path, {"tensorrt/__init__.py": "raise OSError('libnvinfer.so.10: cannot open shared object file')"})
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = machine.facts("cuda:0")
    assert facts["gpu"] is facts["tensorrt"] is None and facts["torch"] == "2.5.0"


def test_facts_are_those_of_the_start_of_the_run(monkeypatch):
    fake_torch(monkeypatch, ORIN)
    first = machine.facts("cuda:0")
    first["torch"] = "changed by a caller"
    fake_torch(monkeypatch, RuntimeError("GPU lost"))
    assert machine.facts("cuda:0")["gpu"] == first["gpu"] and machine.facts("cuda:0")["torch"] == "2.5.0"


def test_header_line_leaves_out_what_is_not_there():
    facts = dict.fromkeys(KEYS)
    facts.update(
        cpu="AMD EPYC", cpu_count=2, ram_bytes=8 * 2**30, os="Debian GNU/Linux 12", python="3.11.7", torch="2.15.0"
    )
    assert machine.describe(facts) == "AMD EPYC ×2, 8.0 GiB, Debian GNU/Linux 12, Python 3.11.7, torch 2.15.0"
    assert "JetPack unknown (L4T 99.1.2)" in machine.describe({**facts, "l4t": "99.1.2"})


# The hook, in a run of its own

CONFTEST = """
pytest_plugins = ["fixtures.machine"]
def pytest_addoption(parser):
    parser.addoption("--run-device")
"""


@pytest.mark.parametrize("arguments", [["--run-device", "cpu"], []])
def test_machine_info_of_a_run_gains_the_facts_and_loses_nothing(pytester, run_pytest, arguments):
    import json

    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_nothing(benchmark): benchmark.pedantic(int)")
    command = ["--benchmark-json", "out.json", "-p", "no:cacheprovider", *arguments]
    done = run_pytest(command, pytester.path, {"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0 and " 1 passed in " in done.stdout, done.stdout + done.stderr
    machine_info = json.loads((pytester.path / "out.json").read_text())["machine_info"]
    assert set(machine_info) >= KEYS | {"node", "machine", "python_version"} <= set(machine_info)
    assert isinstance(machine_info["cpu"], dict), "pytest-benchmark's own"
    assert machine_info["gpu"] is None and machine_info["torch"]


def test_plugin_loads_without_pytest_benchmark(pytester, monkeypatch, root):
    monkeypatch.setenv("PYTHONPATH", str(root))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_nothing(): pass")
    pytester.runpytest_subprocess("-p", "no:benchmark", "-p", "no:cacheprovider").assert_outcomes(passed=1)
