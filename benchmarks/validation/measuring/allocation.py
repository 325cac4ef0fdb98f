"""A known allocation, on the host and on the device, shows in the memory figures of a fresh process."""

from __future__ import annotations

import ctypes
import time
from typing import Any, Dict, List

from benchmarks.validation.measuring.proof import MIB, Proof
from twins.machine import nvml
from twins.measure import memory
from twins.measure.device_memory import device_peak
from twins.run import process

SIZES_MIB = (64, 512)
LIMIT_SHARE, LIMIT_BYTES = 0.02, 4 * MIB
LIMIT = "2 % or 4 MiB"


def prove(run_device: str) -> List[Proof]:
    """Tests every source of memory figures that this machine has."""
    proofs = []
    for mib in SIZES_MIB:
        for forced in ("VmHWM", "sampled"):
            proofs.append(_proof("host", mib, _worker(host, mib, forced)))
        if run_device != "cpu":
            for forced in ("nvml_process", "free_memory"):
                proofs.append(_proof("device", mib, _worker(device, mib, forced, run_device)))
    return proofs


def _worker(task: Any, *arguments: Any) -> Dict[str, Any]:
    return process.run(task, *arguments, title=task.__name__, timeout_s=60)


def _proof(where: str, mib: int, found: Dict[str, Any]) -> Proof:
    off = abs(found["bytes"] - mib * MIB)
    got = f"{found['bytes'] / MIB:.2f} MiB found"
    if "torch_bytes" in found:
        got += f", torch's allocator saw {found['torch_bytes'] / MIB:.2f}"
    ok = off <= max(LIMIT_BYTES, LIMIT_SHARE * mib * MIB)
    return Proof(f"allocation of {mib} MiB, {where}, {found['source']}", ok, got, LIMIT, {**found, "mib": mib})


def host(mib: int, forced: str) -> Dict[str, Any]:
    """Touches this many MiB and frees them; called in a worker."""
    import numpy

    if forced == "sampled":
        memory._reset_high_water_mark = lambda: False  # type: ignore[assignment]
    with memory.host_peak() as peak:
        block = numpy.ones(mib * MIB, dtype=numpy.uint8)
        time.sleep(0.02)
        del block
    return {"bytes": peak.bytes, "source": peak.source}


def device(mib: int, forced: str, run_device: str) -> Dict[str, Any]:
    """Takes this many MiB from the CUDA driver, bypassing torch's allocator, and frees them; called in a worker."""
    import torch

    torch.zeros(1, device=run_device)
    if forced == "free_memory":
        nvml.process_bytes = lambda run_device, pid: None  # type: ignore[assignment]
    driver, address = ctypes.CDLL("libcuda.so.1"), ctypes.c_uint64()
    with device_peak(run_device) as peak:
        code = driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(mib * MIB))
        time.sleep(0.05)
        code = code or driver.cuMemFree_v2(address)
    if code:
        raise RuntimeError(f"the CUDA driver returned error {code}")
    torch_bytes = torch.cuda.max_memory_allocated(run_device)
    return {"bytes": peak.bytes, "source": peak.source, "torch_bytes": torch_bytes}
