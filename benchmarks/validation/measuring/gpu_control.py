"""The GPU's control kernel and energy counter: steady on an idle GPU, and changed by anything that lowers its clock."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, List

from benchmarks.validation.measuring.proof import Proof, eager_and_twin
from twins.judge import stability
from twins.measure import conditions, energy, latency

READINGS = 20
ENERGY_READINGS = 3
ENERGY_LIMIT = 0.10


def prove(run_device: str) -> List[Proof]:
    """Empty on the CPU, where eager itself is the control."""
    if run_device == "cpu":
        return []
    return [_steady(run_device), _moved(run_device), _energy(run_device)]


def _steady(run_device: str) -> Proof:
    moments = [conditions.now(run_device) for _ in range(READINGS)]
    seconds = [moment.control_s for moment in moments if moment.control_s]
    change = max(seconds) / min(seconds) - 1
    last = moments[-1]
    got = (
        f"{statistics.median(seconds) * 1e6:.1f} µs, largest change {change:.2%}; clock {last.gpu_clock_hz}, memory "
        f"{last.gpu_memory_clock_hz} Hz, throttling {last.gpu_throttling}"
    )
    limit = stability.CONTROL_LIMIT
    return Proof("control kernel, GPU idle", change <= limit, got, f"{limit:.0%}", {"control_s": seconds})


def _moved(run_device: str) -> Proof:
    """Uses other work on the same GPU instead of a lower clock, because the clock cannot be set here."""
    import torch

    before = conditions.now(run_device)
    with torch.cuda.device(run_device):
        side, large = torch.cuda.Stream(), torch.ones(8192, 8192, device=run_device)
        product = torch.empty_like(large)
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            for _ in range(100):
                torch.mm(large, large, out=product)
        after = replace(conditions.now(run_device), gpu_throttling=before.gpu_throttling)
    reason = stability.unstable_machine(before, after)
    seconds = [before.control_s, after.control_s]
    return Proof("control kernel, GPU disturbed", bool(reason), str(reason), "must be noticed", {"control_s": seconds})


def _energy(run_device: str) -> Proof:
    with tempfile.TemporaryDirectory() as folder:
        _, twin, images = eager_and_twin("resnet18", run_device, Path(folder))
    call, _ = latency.synchronised(twin, images, run_device)
    found: List[Any] = [energy.figures(call, 1, run_device) for _ in range(ENERGY_READINGS)]
    joules = [row["energy_per_image_j"] for row in found if row["energy_per_image_j"]]
    if not joules:
        return Proof("energy", False, str(found[0]["energy_reason"]), "a figure", {"rows": found})
    spread = max(joules) / min(joules) - 1
    got = f"{' '.join(f'{value * 1e3:.2f}' for value in joules)} mJ per image, spread {spread:.1%}"
    title = f"energy, {found[0]['energy_source']}"
    return Proof(title, spread <= ENERGY_LIMIT, got, f"{ENERGY_LIMIT:.0%}", {"rows": found})
