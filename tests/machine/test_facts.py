"""Tests of facts.py: all facts of a run, on recorded samples, and their entry in the JSON."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.machine import facts as machine_facts
from tests.helpers.recorded_machines import SAMPLES, tree

KEYS = {
    "ram_bytes",
    "os",
    "jetpack",
    "l4t",
    "tensorrt",
    "tensorrt_rtx",
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
    "gpu_power_limit_w",
    "gpu_max_clock_hz",
    "torch_threads",
    "cpu_count",
    "cpu",
}


@pytest.fixture(autouse=True)
def visible(monkeypatch):
    """Clears the cached facts, and any environment variable that would hide the samples' GPUs."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine_facts._facts.cache_clear()
    yield
    machine_facts._facts.cache_clear()


# All facts
def fake_torch(monkeypatch: Any, properties: Any) -> None:
    """Installs a fake torch with this GPU; `properties` may be an error to raise."""

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
    facts = machine_facts.facts("cpu")
    assert set(facts) == KEYS
    assert facts["torch"] == "2.5.0" and facts["torchvision"] == "0.20.0" and facts["ram_bytes"] > 2**20
    assert [facts[key] for key in ("cuda", "cudnn", "gpu", "gpu_compute_capability", "driver")] == [None] * 5


def test_facts_of_a_jetson(tmp_path, monkeypatch):
    import json

    fake_torch(monkeypatch, ORIN)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.3.0"))
    monkeypatch.setattr(
        machine_facts, "_output", lambda *command: "NV Power Mode: MAXN\n0\n" if command[0] == "nvpmodel" else ""
    )
    board = {"sys/firmware/devicetree/base/model": "NVIDIA Jetson AGX Orin Developer Kit\0"}
    facts = machine_facts.facts("cuda:0", tree(tmp_path, {**SAMPLES["6.2"], **board}))
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
    line = machine_facts.describe(facts)
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
    facts = machine_facts.facts("cuda:0")
    assert facts["gpu"] is facts["tensorrt"] is None and facts["torch"] == "2.5.0"


def test_facts_are_read_once_at_the_start_of_the_run(monkeypatch):
    fake_torch(monkeypatch, ORIN)
    first = machine_facts.facts("cuda:0")
    first["torch"] = "changed by a caller"
    fake_torch(monkeypatch, RuntimeError("GPU lost"))
    assert machine_facts.facts("cuda:0")["gpu"] == first["gpu"] and machine_facts.facts("cuda:0")["torch"] == "2.5.0"


def test_header_line_leaves_out_missing_facts():
    facts = dict.fromkeys(KEYS)
    facts.update(
        cpu="AMD EPYC", cpu_count=2, ram_bytes=8 * 2**30, os="Debian GNU/Linux 12", python="3.11.7", torch="2.15.0"
    )
    assert machine_facts.describe(facts) == "AMD EPYC ×2, 8.0 GiB, Debian GNU/Linux 12, Python 3.11.7, torch 2.15.0"
    assert "JetPack unknown (L4T 99.1.2)" in machine_facts.describe({**facts, "l4t": "99.1.2"})


# The hook, in a separate pytest run
CONFTEST = """
pytest_plugins = ["twins.plugins.machine_info"]
def pytest_addoption(parser):
    parser.addoption("--run-device")
"""


@pytest.mark.parametrize("arguments", [["--run-device", "cpu"], []])
def test_machine_info_gains_the_facts_and_keeps_the_rest(pytester, run_pytest, arguments):
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
