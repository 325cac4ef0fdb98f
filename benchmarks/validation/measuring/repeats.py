"""Twenty runs of the same case: the speed-up varies less than the latencies it is computed from."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

from benchmarks.validation.measuring.proof import Proof, eager_and_twin
from twins.judge import stability
from twins.measure import conditions, latency

RUNS = 20
# The speed-up's spread is at most half of the latencies', or at most one per cent if they hardly vary.
SHARE, STILL = 0.5, 0.01
# The stability rule: the share of undisturbed runs that it may call unstable, and the share that it must if the clock
# falls by a fifth halfway through, so that calls take 1.25 times as long.
FALSE_ALARMS, CAUGHT, SLOWER = 0.10, 0.90, 1.25
MODELS = {"cpu": ("resnet18", "mobilenet_v2"), "cuda": ("resnet18",)}


def prove(run_device: str) -> List[Proof]:
    """Each run warms up, plans and times as the suite does; every block is kept, as evidence for the stability rule."""
    with tempfile.TemporaryDirectory() as folder:
        models = MODELS[run_device.partition(":")[0]]
        made = {model: eager_and_twin(model, run_device, Path(folder)) for model in models}
        rows: Dict[str, List[Dict[str, Any]]] = {model: [] for model in models}
        for _ in range(RUNS):
            for model, (eager, twin, images) in made.items():
                rows[model].append(run_once(eager, twin, images, run_device))
    return [proof for model in models for proof in (_proof(model, rows[model]), _rule(model, rows[model]))]


def run_once(eager: Any, twin: Any, images: Any, run_device: str) -> Dict[str, Any]:
    """Times one case as the suite does. Returns its figures and whether it was called stable."""
    call, control = (latency.synchronised(side, images, run_device) for side in (twin, eager))
    warm, eager_warm = latency.warm_up(call[0]), latency.warm_up(control[0])
    plan = latency.plan(warm.call_s, eager_warm.call_s)
    blocks = latency.PairedBlocks(plan, call, control)
    before = conditions.now(run_device)
    seconds: List[float] = []
    for _ in range(plan.rounds):
        blocks.setup()
        seconds += latency.timed(call[0], 1)
    after = conditions.now(run_device)
    found = latency.summarise(seconds, blocks.eager_s, plan)
    machine = stability.unstable_machine(before, after)
    reason = stability.verdict(stability.unstable_calls(found, run_device == "cpu"), machine)["unstable_reason"]
    return {
        "twin_s": found.p50_s,
        "eager_s": statistics.median(blocks.eager_s),
        "speedup": found.speedup,
        "blocks_s": latency.extra_info(found, len(images))["blocks_s"],
        "unstable_reason": reason,
        "others_cpu_share": conditions.others_share(before, after),
        "control_s": [before.control_s, after.control_s],
    }


def _proof(model: str, rows: Sequence[Dict[str, Any]]) -> Proof:
    twin, eager, speedup = (variation([row[key] for row in rows]) for key in ("twin_s", "eager_s", "speedup"))
    raw = (twin + eager) / 2
    unstable = sum(row["unstable_reason"] is not None for row in rows)
    got = (
        f"coefficient of variation of the speed-up {speedup:.2%}, of the twin's latency {twin:.2%}, of eager's "
        f"{eager:.2%}; {unstable} of {len(rows)} runs called unstable"
    )
    limit = "half of the latencies' mean, or 1 %"
    return Proof(f"repeats, {model}", speedup <= max(SHARE * raw, STILL), got, limit, {"runs": list(rows)})


def _rule(model: str, rows: Sequence[Dict[str, Any]]) -> Proof:
    """For runs that no other process disturbed: false alarms, and how often a fall of the clock is caught."""
    quiet = [row["blocks_s"] for row in rows if row["others_cpu_share"] <= stability.OTHERS_LIMIT]
    sides = [blocks[side] for blocks in quiet for side in ("twin", "eager")]
    alarms = sum(stability.unstable_blocks(side) is not None for side in sides) / len(sides)
    fallen = [_slower_from(side, len(side) // 2) for side in sides]
    caught = sum(stability.unstable_blocks(side) is not None for side in fallen) / len(sides)
    got = f"{alarms:.0%} of {len(sides)} undisturbed series called unstable, {caught:.0%} of them when slowed halfway"
    limit = f"{FALSE_ALARMS:.0%} and {CAUGHT:.0%}"
    return Proof(f"stability rule, {model}", alarms <= FALSE_ALARMS and caught >= CAUGHT, got, limit)


def _slower_from(blocks_s: Sequence[float], place: int) -> List[float]:
    return [seconds * (SLOWER if at >= place else 1) for at, seconds in enumerate(blocks_s)]


def variation(values: Sequence[float]) -> float:
    """Coefficient of variation: standard deviation over mean."""
    return statistics.stdev(values) / statistics.mean(values)
