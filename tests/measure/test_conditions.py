"""Tests of the conditions of a measurement: fake clocks, sensors and processes, and what must be called unstable."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import types
from dataclasses import replace

import psutil
import pytest
import torch

from fixtures.judge.stability import unstable_machine
from fixtures.machine import nvml
from fixtures.measure import conditions
from fixtures.measure.conditions import Moment, others_share

QUIET = Moment(
    at_s=100.0,
    own_cpu_s=10.0,
    busy_cpu_s=50.0,
    cpu_count=2,
    cpu_governors=("performance",),
    cpu_hz=2e9,
    gpu_clock_hz=1.98e9,
    gpu_memory_clock_hz=2.6e9,
    gpu_governor="nvhost_podgov",
    gpu_throttling=(),
    control_s=400e-6,
)
# Ten seconds later on two CPUs, of which this process had 15 s and others 0.4.
LATER = replace(QUIET, at_s=110.0, own_cpu_s=25.0, busy_cpu_s=65.4)


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({}, None),
        ({"control_s": 415e-6}, None),
        ({"control_s": 440e-6}, "GPU's control kernel +10%"),
        ({"control_s": 370e-6}, "GPU's control kernel -8%"),
        ({"gpu_throttling": ("hardware thermal slowdown",)}, "GPU throttled: hardware thermal slowdown"),
        ({"cpu_governors": ("powersave",)}, "CPU governor changed to powersave"),
        ({"gpu_governor": "userspace"}, "GPU governor changed to userspace"),
        ({"busy_cpu_s": 68.0}, "others took 15% of the CPU"),
        ({"busy_cpu_s": 66.9}, None),
        ({"at_s": 100.4, "own_cpu_s": 10.0, "busy_cpu_s": 50.4}, None),  # Too short for the kernel's clock.
    ],
)
def test_what_changed_is_named(changed, expected):
    assert unstable_machine(QUIET, replace(LATER, **changed)) == expected


def test_throttling_before_counts_too():
    assert unstable_machine(replace(QUIET, gpu_throttling=("power brake",)), LATER) == "GPU throttled: power brake"


def test_a_machine_that_tells_nothing_has_nothing_against_it():
    silent = {"cpu_governors": (), "cpu_hz": None, "gpu_clock_hz": None, "gpu_throttling": None, "control_s": None}
    assert unstable_machine(replace(QUIET, **silent), replace(LATER, **silent)) is None


def test_the_share_of_others_excludes_our_own():
    assert others_share(QUIET, LATER) == pytest.approx(0.02)
    assert others_share(QUIET, QUIET) == 0.0
    assert others_share(QUIET, replace(LATER, busy_cpu_s=50.0)) == 0.0, "a container that shows no times"


def test_this_process_does_not_count_as_another():
    before = conditions.now("cpu")
    while time.process_time() < before.own_cpu_s + 0.1:
        pass
    after = conditions.now("cpu")
    assert after.own_cpu_s - before.own_cpu_s >= 0.1 and after.at_s > before.at_s
    assert json.dumps(conditions.as_dict(before, after))
    assert before.control_s is None and before.gpu_throttling is None


def test_governors_are_read_from_the_files(tmp_path):
    for cpu, governor in enumerate(("schedutil", "performance")):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor + "\n")
    assert conditions.now("cpu", tmp_path).cpu_governors == ("performance", "schedutil")
    assert conditions.now("cpu", tmp_path / "none").cpu_governors == ()


@pytest.mark.parametrize(
    "mhz, hertz", [(1500.5, 1500.5e6), (0.0, None), (None, None), (NotImplementedError(), None), (OSError(), None)]
)
def test_the_clock_of_the_cpus_is_in_hertz_and_none_where_nobody_tells_it(mhz, hertz, monkeypatch):
    def cpu_freq():
        if isinstance(mhz, Exception):
            raise mhz
        return None if mhz is None else types.SimpleNamespace(current=mhz)

    monkeypatch.setattr(psutil, "cpu_freq", cpu_freq)
    assert conditions.cpu_hz() == hertz and conditions.now("cpu").cpu_hz == hertz


@pytest.mark.parametrize("name", ["17000000.ga10b", "17000000.gv11b", "17000000.gpu", "gpu-gpc-0"])
def test_the_clock_of_a_jetsons_gpu_is_found(tmp_path, name):
    assert conditions.jetson_clock_hz(tmp_path) is None
    folder = tmp_path / "sys/class/devfreq" / name
    folder.mkdir(parents=True)
    (folder / "cur_freq").write_text("918000000\n")
    assert conditions.jetson_clock_hz(tmp_path) == 918e6


def test_the_control_kernel_is_woken_and_then_timed_by_events_of_its_own(monkeypatch):
    milliseconds = iter([9.0] * conditions.CONTROL_WAKING + [0.4] * 6 + [0.5] * 5)
    products, waited = [], []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            pass

        def synchronize(self):
            waited.append(1)

        def elapsed_time(self, end):
            return next(milliseconds)

    ones = torch.ones
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(1))
    monkeypatch.setattr(torch, "mm", lambda left, right, out: products.append(out))
    assert conditions.control_s("cuda:0") == pytest.approx(0.4e-3), "what the waking took does not count"
    assert len(products) == conditions.CONTROL_PRODUCTS * len(waited) == 8 * 31


class NvmlError(Exception):
    """pynvml.NVMLError."""


def not_supported(handle):
    raise NvmlError("not supported")


def handle_of(uuid):
    return {b"GPU-abc": "handle"}[uuid]


# pynvml with one GPU that throttles, and does not count energy.
PYNVML = types.SimpleNamespace(
    NVML_CLOCK_SM=1,
    NVML_CLOCK_MEM=2,
    NVMLError=NvmlError,
    nvmlInit=lambda: None,
    nvmlDeviceGetHandleByUUID=handle_of,
    nvmlDeviceGetClockInfo=lambda handle, kind: {1: 1980, 2: 2619}[kind],
    nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x01 | 0x04 | 0x40,
    nvmlDeviceGetComputeRunningProcesses=lambda handle: [
        types.SimpleNamespace(pid=os.getpid(), usedGpuMemory=7),
        types.SimpleNamespace(pid=1, usedGpuMemory=9),
    ],
    nvmlDeviceGetTotalEnergyConsumption=not_supported,
)


@pytest.fixture
def gpu(monkeypatch):
    """A GPU whose NVML has only the above."""
    monkeypatch.setitem(sys.modules, "pynvml", PYNVML)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(uuid="abc"))
    nvml.handle.cache_clear()
    yield
    nvml.handle.cache_clear()


def test_nvml_tells_clocks_memory_and_why_the_clock_is_held_down(gpu):
    assert nvml.clocks_hz("cuda:0") == (1.98e9, 2.619e9)
    assert nvml.throttling("cuda:0") == ("software power cap", "hardware thermal slowdown"), "idle is no fault"
    assert nvml.process_bytes("cuda:0", os.getpid()) == 7 and nvml.process_bytes("cuda:0", 12345678) is None


def test_what_nvml_does_not_know_is_none(gpu):
    assert nvml.energy_j("cuda:0") is None
    assert nvml.throttling("cpu") is None and nvml.clocks_hz("cpu") == (None, None)


def test_without_nvml_nothing_is_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    nvml.handle.cache_clear()
    assert nvml.clocks_hz("cuda:0") == (None, None) and nvml.throttling("cuda:0") is None
    nvml.handle.cache_clear()
