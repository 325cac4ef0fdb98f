"""Proof of streams: the suite's rate and latency against a bare multi-threaded loop, and outputs against serial calls.

From the repository's root, on a CPU or a GPU:

    python -m benchmarks.validation.streams [--device cuda:0] [--twins X,Y] [--streams 1,2,4] [--seconds 0.5]
        [--json FILE] [MODEL ...]

For each model, twin and number of streams, the suite's timed calls and a bare loop of threads take turns, in blocks of
half a second. Give slow models longer blocks, because fewer calls run in parallel at the end of a block. A row holds if
throughput and median latency differ by at most 5 %, all outputs are those of serial calls, and contexts that share one
output buffer are refused. Exit code 1 if a row does not hold. docs/streams.md has its output.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Tuple

from benchmarks.validation import bare
from benchmarks.validation.seeded import Seeded, precision_of
from twins.backends import REFERENCE, TWINS, unavailable
from twins.checks.field import streams as check
from twins.checks.repeatability import scales
from twins.common.outputs import to_numpy
from twins.judge.field.streams import streams_agree
from twins.judge.repeatability import repeatability
from twins.measure.field import streams
from twins.models.zoo import find
from twins.mutants.streams import STREAM_MUTANTS

LIMIT, BLOCKS, BLOCK_S, SERIAL_CALLS = 0.05, 9, 0.5, 5  # BLOCK_S: unless --seconds says otherwise
KEYS, JUDGED = ("fps", "p50_s", "p95_s"), ("fps", "p50_s")
MODELS, WITH_CONTEXT = ("resnet18", "mobilenet_v2"), ("tensorrt", "tensorrt_rtx")
TITLES = "model|twin|streams|images/s|bare|ratio|p50 ms|bare|ratio|p95 ms|outputs as serial|shared buffer|".split("|")
HEADER = f"| {' | '.join(TITLES)} |\n{'|---' * len(TITLES)}|"

Call = Callable[[], Any]
Figures = Dict[str, float]
# What a thread enters first, and its call.
Thread = Tuple[Callable[[], ContextManager[Any]], Call]


def main(asked: argparse.Namespace) -> int:
    """Prints a row for each case; returns 1 if one does not hold."""
    print(HEADER)
    rows: List[Dict[str, Any]] = []
    for name in asked.models:
        case = Seeded(find(name), 0, asked.device, step=5)
        for twin in asked.twins:
            for row in proven(case, twin, asked):
                rows.append({"model": name, "twin": twin, **row})
                print(shown(rows[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))
    return int(not rows or not all(row.get("held") for row in rows))


def proven(case: Seeded, twin: str, asked: argparse.Namespace) -> Iterator[Dict[str, Any]]:
    """The rows of a twin, or one with `failed` if it cannot be built or run."""
    module = TWINS[twin].module
    if module.another_context is None:
        yield {"not_offered": module.NO_STREAMS, "held": True}
        return
    try:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as held:
            path = Path(folder, f"engine{module.ENGINE_SUFFIX or ''}")
            run = held.enter_context(closing(TWINS[twin].build(case.core, case.batch[:1], path, case.calibration)))
            for count in asked.streams:
                yield {"streams": count, **measured(case, twin, run, path, count, asked)}
    except Exception as error:  # noqa: BLE001  from any backend; the other rows still count
        yield {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", "held": False}


def measured(case: Seeded, twin: str, run: Any, path: Path, count: int, asked: argparse.Namespace) -> Dict[str, Any]:
    """Figures of this many streams and of the bare loop, and the verdicts on outputs."""
    expected = to_numpy(TWINS[REFERENCE].build(case.core, case.batch[:1])(case.batch[:1]))
    model = SimpleNamespace(
        first=lambda rows: case.batch[:rows].clone(),
        example=lambda rows: case.batch[:rows].clone(),
        image_names=case.names,
    )
    running = SimpleNamespace(run=run, name=twin, run_device=TWINS[twin].runs_on(asked.device))
    serial = check.serial_calls(run, model, count)
    again = [(case.names[0], to_numpy(run(case.batch[:1].clone()))) for _ in range(SERIAL_CALLS)]
    seen = repeatability(again, scales(expected), case.tolerance(precision_of(twin)))
    with check.contexts(model, running, count) as runs:

        def lanes_of(contexts: Any) -> List[streams.Stream]:
            return [streams.stream(context, running.run_device) for context in contexts]

        def judged(lanes: List[streams.Stream]) -> Any:
            calls = check.judged_calls(lanes, serial)
            return streams_agree(serial.outputs, calls, serial.names, scales(expected), seen)

        lanes = lanes_of(runs)
        verdict = judged(lanes)
        refused = [not judged(lanes_of(spoil(runs))) for spoil in STREAM_MUTANTS.values()] if count > 1 else []
        batches = [case.batch[:1].clone() for _ in runs]
        calls, _alive = bare_threads(case, twin, run, path, count, asked.device)
        ours, theirs, ratios = by_turns(lanes, batches, calls, asked.seconds)
    held_all = all(abs(ratios[key] - 1) <= LIMIT for key in JUDGED) and bool(verdict) and all(refused)
    return {
        "suite": ours,
        "bare": theirs,
        "ratios": ratios,
        "serial_bit_equal": seen.bit_equal,
        "outputs": verdict.as_dict(),
        "mutants_refused": refused,
        "held": held_all,
    }


def by_turns(lanes: Any, batches: Any, calls: List[Thread], seconds: float) -> Tuple[Figures, Figures, Figures]:
    """(suite's figures, bare loop's, their ratios): medians over pairs of blocks, so that drift affects both."""
    ours, theirs = [], []
    for _ in range(BLOCKS):
        spans, _ = streams.timed(lanes, batches, seconds, 3, 10 * seconds)
        load = streams.summarise(spans)
        ours.append((load.calls_per_s, load.p50_s, load.p95_s))
        theirs.append(threads(calls, seconds))
    ratios = [[mine / bares for mine, bares in zip(*pair)] for pair in zip(ours, theirs)]
    first, second, third = (dict(zip(KEYS, map(statistics.median, zip(*found)))) for found in (ours, theirs, ratios))
    return first, second, third


def threads(calls: List[Thread], block_s: float) -> Tuple[float, float, float]:
    """A bare loop of threads: (calls per second, median and 95th percentile of a call's seconds)."""
    gate = threading.Barrier(len(calls) + 1)
    seconds: List[List[float]] = [[] for _ in calls]
    until = [0.0]

    def loop(thread: Thread, taken: List[float]) -> None:
        inside, call = thread
        with inside():
            for _ in range(3):
                call()
            gate.wait()
            gate.wait()
            start = time.perf_counter()
            while start < until[0]:
                call()
                end = time.perf_counter()
                taken.append(end - start)
                start = end

    workers = [threading.Thread(target=loop, args=pair) for pair in zip(calls, seconds)]
    for worker in workers:
        worker.start()
    gate.wait()
    until[0] = time.perf_counter() + block_s
    gate.wait()
    for worker in workers:
        worker.join()
    together = sorted(taken for of_thread in seconds for taken in of_thread)
    # Each thread's own rate, because its last call ends after the block, when the others may already be waiting.
    rate = sum(len(of_thread) / sum(of_thread) for of_thread in seconds)
    return rate, statistics.median(together), together[int(0.95 * (len(together) - 1))]


def bare_threads(case: Seeded, twin: str, run: Any, path: Path, count: int, device: str) -> Tuple[List[Thread], Any]:
    """(the minimum that each of this many threads must do, what must stay alive)."""
    import torch

    backend, batches = TWINS[twin].backend, [case.batch[:1].clone() for _ in range(count)]
    if device == "cpu":
        if backend == "onnxruntime":
            name = run._session.get_inputs()[0].name
            return [(nullcontext, partial(run._session.run, None, {name: batch.numpy()})) for batch in batches], batches
        return [(torch.inference_mode, partial(case.core, batch)) for batch in batches], batches
    own, kept = [torch.cuda.Stream(device) for _ in batches], [batches]
    torch.cuda.synchronize(device)
    calls: List[Call] = []
    engine = bare.loaded(importlib.import_module(backend), path) if backend in WITH_CONTEXT else None
    for stream, batch in zip(own, batches):
        with torch.cuda.stream(stream):
            if engine is not None:
                call, alive = bare.context(importlib.import_module(backend), path, batch, engine=engine)
                kept.append(alive)
            elif backend == "cuda_graph":
                fixed = batch.clone()
                call = partial(_replayed, bare.graph(run.captured, fixed), fixed, batch)
            elif backend == "onnxruntime":
                call = partial(run._session.run_with_iobinding, _bound(run._session, batch))
            else:
                call = partial(case.core, batch)
            calls.append(partial(_finished, call, stream))
    torch.cuda.synchronize(device)
    return [(partial(_inside, stream), call) for stream, call in zip(own, calls)], kept


@contextmanager
def _inside(stream: Any) -> Iterator[None]:
    import torch

    with torch.cuda.stream(stream), torch.inference_mode():
        yield


def _finished(call: Call, stream: Any) -> None:
    call()
    stream.synchronize()


def _replayed(replay: Call, fixed: Any, batch: Any) -> None:
    fixed.copy_(batch)
    replay()


def _bound(session: Any, batch: Any) -> Any:
    import numpy

    binding, index = session.io_binding(), batch.device.index or 0
    name = session.get_inputs()[0].name
    binding.bind_input(name, "cuda", index, numpy.float32, list(batch.shape), batch.data_ptr())
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", index)
    return binding


def shown(row: Dict[str, Any]) -> str:
    """A line of the table."""
    case = f"| {row['model']} | {row['twin']} |"
    for key in ("failed", "not_offered"):
        if key in row:
            return f"{case} {key.replace('_', ' ')}: {row[key]} |"
    ours, theirs, ratios, outputs = row["suite"], row["bare"], row["ratios"], row["outputs"]
    bits = f"{outputs['calls'] - outputs['differing']} of {outputs['calls']}"
    mutants = "" if not row["mutants_refused"] else "refused" if all(row["mutants_refused"]) else "NOT REFUSED"
    cells = [
        str(row["streams"]),
        *(f"{value:.1f}" for value in (ours["fps"], theirs["fps"])),
        f"{ratios['fps']:.3f}",
        *(f"{value * 1e3:.2f}" for value in (ours["p50_s"], theirs["p50_s"])),
        f"{ratios['p50_s']:.3f}",
        f"{ours['p95_s'] * 1e3:.2f}",
        bits if outputs["ok"] else f"{bits}, NOT OK: {outputs['where']}",
        mutants,
        "held" if row["held"] else "NOT HELD",
    ]
    return f"{case} {' | '.join(cells)} |"


def _listed(text: str) -> List[str]:
    return text.split(",")


def _twins(device: str) -> List[str]:
    """Every twin that can run here and that has a bare loop."""
    with_loop = ("eager", "cuda_graph", "onnxruntime", "inductor", *WITH_CONTEXT)
    return [
        name
        for name, spec in TWINS.items()
        if spec.backend in with_loop and spec.precision != "int8" and unavailable(name, device) is None
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: {', '.join(MODELS)}")
    parser.add_argument("--device", default="cpu", help="torch's name of it, such as cuda:0")
    parser.add_argument("--twins", type=_listed, metavar="X,Y", help="default: every one that can run here")
    parser.add_argument("--streams", type=lambda text: [int(count) for count in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=BLOCK_S, help="of a block")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    chosen.models = chosen.models or list(MODELS)
    chosen.twins = chosen.twins or _twins(chosen.device)
    sys.exit(main(chosen))
