"""Fails if a run's JSON lacks a documented key: `python -m tests.documented_keys run.json [more.json ...]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

EXTRA_INFO = """
    model twin batch_size weights latency_p50_s latency_p90_s latency_p95_s latency_p99_s throughput_fps
    speedup_vs_eager speedup_ci95 blocks_s realtime stable unstable_reason first_call_s load_s build_s engine_bytes
    host_build_peak_bytes host_run_peak_bytes device_build_peak_bytes device_run_peak_bytes device_memory_source
    host_memory_source device_p50_s device_blocks_s h2d_p50_s device_reason energy_per_image_j energy_source
    energy_reason
""".split()
MACHINE_INFO = """
    ram_bytes os jetpack l4t tensorrt tensorrt_rtx torch2trt onnxruntime torch torchvision pillow cuda cudnn gpu driver
    power_mode
""".split()
SUITE = """
    schema reference agreement accuracy predictions startup builds end_to_end throughput layers explain beside_base
    end_to_end_beside_base detection segmentation repeatability streams sizes soak mutants clocks images weights cases
    interrupted options
""".split()
ROWS = {
    "reference": """model twin batch_asked batch_dependent batch_change batch_limit batch_error changes_input
        notes""".split(),
    "agreement": """model twin ok max_relative_error cosine max_probability_change smallest_passing_tolerance tolerance
        precision_note notes top1_same top1_total top1_agreement top1_excused top5_overlap""".split(),
    "accuracy": "model twin top1 top5 total".split(),
    "predictions": "model twin photographs".split(),
    "startup": """model twin model_load_s build_s load_s first_call_s second_call_s engine_bytes host_build_peak_bytes
        device_build_peak_bytes device_run_peak_bytes device_memory_source
        host_run_peak_bytes host_memory_source export_s engine_build_s compile_s build_warnings
        engine_load_s context_s cuda_context_s accelerator fallback_layers fallback_share host_load_peak_bytes
        host_first_call_peak_bytes host_steady_peak_bytes device_load_peak_bytes device_first_call_peak_bytes
        device_steady_peak_bytes""".split(),
    "repeatability": "model twin ok calls distinct spread spread_limit race_share bit_equal where rebuilt".split(),
    "mutants": "model twin refused total survivors misjudged left_out not_claimed".split(),
    "cases": "nodeid model twin outcome reason".split(),
    "throughput": "model twin batch_size latency_p50_s throughput_fps stable out_of_memory".split(),
    "end_to_end": """model twin total_p50_s decode_p50_s preprocess_p50_s run_p50_s answer_p50_s preprocessing_share
        frame_p50_s frame_p95_s frame_p99_s frame_budget_s realtime realtime_fps stable unstable_reason
        answers""".split(),
}
# Of sections that only an option fills.
OPTIONAL_ROWS = {
    "layers": "model twin batch_size whole_s whole_is sum_s profiled_call_s missing calls layers".split(),
}


def missing_keys(document: Dict[str, Any]) -> Iterator[str]:
    """Where a documented key is missing, as a path into the document; also a section without a row."""
    machine_info, suite = document.get("machine_info", {}), document.get("suite", {})
    yield from _absent("machine_info", machine_info, MACHINE_INFO)
    yield from _absent("suite", suite, SUITE)
    yield from _absent("suite.weights", suite.get("weights") or {}, ["recipe", "seed"])
    if not document.get("benchmarks"):
        yield "benchmarks: no row"
    for row in document.get("benchmarks", []):
        yield from _absent(f"{row['name']}.extra_info", row["extra_info"], EXTRA_INFO)
    yield from (f"suite.{section}: no row" for section in ROWS if not suite.get(section))
    for section, keys in {**ROWS, **OPTIONAL_ROWS}.items():
        for row in suite.get(section, []):
            yield from _absent(f"suite.{section}[{row.get('model')} {row.get('twin')}]", row, keys)


def _absent(where: str, found: Dict[str, Any], keys: List[str]) -> List[str]:
    return [f"{where}.{key}" for key in keys if key not in found]


if __name__ == "__main__":
    lines = [f"{path}: {key}" for path in sys.argv[1:] for key in missing_keys(json.loads(Path(path).read_text()))]
    print("\n".join(lines) or "every documented key is there")
    sys.exit(bool(lines))
