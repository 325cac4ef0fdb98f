"""Measures how tight the tolerances could be: for each model, twin and seed the smallest one that passes.

From the repository's root: `python -m benchmarks.validation.tolerances [--seeds 0,1,2] [MODEL …]`. CPU only, calibrated
weights; prints a row as soon as it is measured, then the worst of each twin. docs/tolerances.md holds what it printed.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy

from fixtures.backends import TWINS
from fixtures.images import folder as image_folder
from fixtures.judge.agreement import Agreement, agree
from fixtures.judge.decisions import Top1Verdict, top1
from fixtures.judge.tolerances import tolerance
from fixtures.models.calibration import calibrate
from fixtures.models.zoo import MODELS, ModelSpec, build_module, categories, preprocessing

if TYPE_CHECKING:
    import torch

SEEDS = (0, 1, 2)
# Cheapest first, so that an interrupted run has measured most.
ORDER = ("alexnet", "resnet18", "mobilenet_v2", "googlenet", "resnet50", "inception_v3", "vgg16")
BATCH_SIZE = 10
# Of a float32's 23 bits of mantissa TF32 keeps 10 (NVIDIA A100 whitepaper, «TF32»).
TF32_DROPPED_BITS = 13

HEADER = "| model | twin | seed | smallest tolerance | 1 - cosine | flips | widest |"
RULE = "|---|---|---|---|---|---|---|"


def main(names: Sequence[str], seeds: Sequence[int]) -> None:
    """Prints the table for these models and seeds."""
    print(HEADER, RULE, sep="\n")
    worst: Dict[str, float] = {}
    for seed in seeds:
        for name in names:
            for twin, agreement, decisions in measured(MODELS[name], seed):
                print(row(name, twin, seed, agreement, decisions), flush=True)
                worst[twin] = max(worst.get(twin, 0.0), agreement.max_relative_error)
    print("", "| twin | worst error |", "|---|---|", sep="\n")
    for twin, error in worst.items():
        print(f"| {twin} | {error:.1e} |")


def row(name: str, twin: str, seed: int, agreement: Agreement, decisions: Top1Verdict) -> str:
    """A line of the table; `none` where no tolerance of the error would do, the widest flip as a share of the scale."""
    passing = agreement.smallest_passing_tolerance
    tolerated = "none" if passing is None else f"{passing:.1e}"
    widest = f"{decisions.flips[0].margin / agreement.scale:.2f}" if decisions.flips else "–"
    figures = (tolerated, f"{1 - agreement.cosine:.1e}", len(decisions.flips), widest)
    return f"| {' | '.join(map(str, (name, twin, seed, *figures)))} |"


def measured(spec: ModelSpec, seed: int) -> Iterator[Tuple[str, Agreement, Top1Verdict]]:
    """Name and both verdicts of every twin of a model, on the judged photographs."""
    import torch

    photographs = image_folder.resolve_labels(image_folder.list_photographs(image_folder.BUNDLED), categories(spec))
    batch = image_folder.load(photographs, preprocessing(spec)).batch
    names = [photograph.name for photograph in image_folder.judged_photographs(image_folder.BUNDLED)]
    judged = torch.tensor([photograph.name in names for photograph in photographs])
    module = build_module(spec)
    calibrate(module, batch, torch.tensor([photograph.label for photograph in photographs]), seed)
    with torch.inference_mode():
        reference = answers(module, batch[judged], BATCH_SIZE)
        for twin, precision, run in MEASURED:
            limit, actual = tolerance(precision, "calibrated"), run(module, batch[judged], batch[~judged])
            yield twin, agree(actual, reference, limit, names), top1(actual, reference, limit, names)


def answers(call: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor, batch_size: int) -> numpy.ndarray:
    """N×C logits, computed `batch_size` photographs at a time."""
    return numpy.concatenate([call(part).numpy() for part in batch.split(batch_size)])


def stored(name: str) -> Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], numpy.ndarray]:
    """The suite's own twin of this name, photograph by photograph as the suite runs it."""

    def run(module: torch.nn.Module, batch: torch.Tensor, calibration: torch.Tensor) -> numpy.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            twin = TWINS[name].build(module, batch[:1], Path(folder, "model.onnx"), calibration)
            found = answers(twin, batch, 1)
            twin.close()
        return found

    return run


def emulated_tf32(module: torch.nn.Module, batch: torch.Tensor, calibration: torch.Tensor) -> numpy.ndarray:
    """What convolutions and linear layers multiply is rounded to TF32; sums stay float32, as on a GPU."""
    import torch

    layers = [part for part in module.modules() if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear))]
    with rounded_weights(layers, as_tf32), contextlib.ExitStack() as hooks:
        for layer in layers:
            hook = layer.register_forward_pre_hook(lambda _, inputs: tuple(map(as_tf32, inputs)))
            hooks.callback(hook.remove)
        return answers(module, batch, BATCH_SIZE)


def emulated_fp16(module: torch.nn.Module, batch: torch.Tensor, calibration: torch.Tensor) -> numpy.ndarray:
    """Input, weights, statistics and every module's output are rounded to float16; sums stay float32, as on a GPU."""
    with rounded_weights([module], as_float16), contextlib.ExitStack() as hooks:
        for part in module.modules():
            hooks.callback(part.register_forward_hook(lambda _, inputs, output: as_float16(output)).remove)
        return answers(module, as_float16(batch), BATCH_SIZE)


@contextlib.contextmanager
def rounded_weights(modules: List[torch.nn.Module], rounded: Callable[[Any], Any]) -> Iterator[None]:
    """Every parameter and buffer of floating point is rounded, and put back at the end."""
    tensors = {id(t): t for part in modules for t in (*part.parameters(), *part.buffers()) if t.is_floating_point()}
    originals = [(tensor, tensor.detach().clone()) for tensor in tensors.values()]
    try:
        for tensor, original in originals:
            tensor.data.copy_(rounded(original))
        yield
    finally:
        for tensor, original in originals:
            tensor.data.copy_(original)


def as_float16(values: torch.Tensor) -> torch.Tensor:
    """The same float32 tensor with every value rounded to float16."""
    return values.half().float()


def as_tf32(values: torch.Tensor) -> torch.Tensor:
    """The same float32 tensor with every value rounded to TF32, to nearest."""
    import torch

    bits = values.contiguous().view(torch.int32) + (1 << (TF32_DROPPED_BITS - 1))
    return (bits & -(1 << TF32_DROPPED_BITS)).view(torch.float32)


# Name in the table, precision, and how to run it on a module, the judged photographs and those that calibrate int8.
MEASURED = (
    ("onnxruntime_fp32", "fp32", stored("onnxruntime_fp32")),
    ("emulated tf32", "tf32", emulated_tf32),
    ("emulated fp16", "fp16", emulated_fp16),
    ("onnxruntime_int8", "int8", stored("onnxruntime_int8")),
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", choices=[*ORDER, []], metavar="MODEL", help="default: all")
    parser.add_argument("--seeds", default=SEEDS, type=lambda text: [int(seed) for seed in text.split(",")])
    asked = parser.parse_args()
    main(asked.models or ORDER, asked.seeds)
