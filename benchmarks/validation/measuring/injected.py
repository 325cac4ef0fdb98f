"""A known delay injected into a twin shows in its latency, and on a GPU in its device time."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, List

from benchmarks.validation.measuring.proof import Proof, eager_and_twin
from twins.measure import device_time, latency

SLEEP_S = 0.050
DEVICE_SLEEP_CYCLES = 20_000_000
LIMIT = 0.02


def prove(run_device: str) -> List[Proof]:
    """Injects a sleep on the host, and on a GPU also a spin of the GPU."""
    with tempfile.TemporaryDirectory() as folder:
        _, twin, images = eager_and_twin("mobilenet_v2", run_device, Path(folder))
        proofs = [_host(twin, images, run_device)]
        if run_device != "cpu":
            proofs.append(_device(twin, images))
        return proofs


def _host(twin: Any, images: Any, run_device: str) -> Proof:
    slept: List[float] = []

    def sleepy(batch: Any) -> Any:
        start = time.perf_counter()
        time.sleep(SLEEP_S)
        slept.append(time.perf_counter() - start)
        return twin(batch)

    slow, plain = latency.synchronised(sleepy, images, run_device), latency.synchronised(twin, images, run_device)
    latency.warm_up(slow[0]), latency.warm_up(plain[0])
    plan = latency.Plan(10, 5, 5)
    blocks = latency.PairedBlocks(plan, slow, plain)
    seconds: List[float] = []
    slept.clear()
    for _ in range(plan.rounds):
        blocks.setup()
        seconds += latency.timed(slow[0], 1)
    # The measured sleep, which is a little longer than requested.
    wanted = statistics.median(slept)
    found = latency.summarise(seconds, blocks.eager_s, plan).p50_s - statistics.median(blocks.eager_s)
    got = f"{wanted * 1e3:.2f} ms slept, {found * 1e3:.2f} ms found, {found / wanted - 1:+.2%}"
    data = {"slept_s": wanted, "found_s": found}
    return Proof("injected sleep, latency", abs(found / wanted - 1) <= LIMIT, got, f"{LIMIT:.0%}", data)


def _device(twin: Any, images: Any) -> Proof:
    import torch

    def spin() -> None:
        torch.cuda._sleep(DEVICE_SLEEP_CYCLES)

    def spinning(batch: Any) -> Any:
        spin()
        return twin(batch)

    wanted = statistics.median(device_time.work_s(lambda batch: spin(), images, 0.02) for _ in range(20))
    plain = device_time.figures(twin, images, 0.001)["device_p50_s"]
    slow = device_time.figures(spinning, images, 0.02)["device_p50_s"]
    assert plain is not None and slow is not None  # The batch is on a GPU.
    found = slow - plain
    got = f"{wanted * 1e3:.3f} ms spun, {found * 1e3:.3f} ms found, {found / wanted - 1:+.2%}"
    data = {"spun_s": wanted, "found_s": found, "device_p50_s": plain}
    return Proof("injected spin, device time", abs(found / wanted - 1) <= LIMIT, got, f"{LIMIT:.0%}", data)
