"""Measures how far boxes and masks of rounded twins are from eager's, and whether 20 runs of a twin are judged alike.

From the repository's root: `python -m benchmarks.validation.dense WHAT [--seeds 0,1,2] [--step N] [MODEL …]`, where
WHAT is tolerances or runs. CPU only, calibrated weights. docs/detection.md holds what it printed last.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Sequence, Tuple

from benchmarks.validation.tolerances import as_float16, as_tf32, rounded_weights
from fixtures import backends
from fixtures.answers.detector import Detector
from fixtures.answers.masks import masks_of
from fixtures.common.outputs import concatenate, to_numpy
from fixtures.images import folder as image_folder
from fixtures.judge.agreement import agree_all
from fixtures.judge.box_tolerances import TABLE
from fixtures.judge.detection import FEW_BOXES, judge, with_few_boxes
from fixtures.judge.mask_tolerances import TABLE as MASK_TABLE
from fixtures.judge.segmentation import judge_masks
from fixtures.judge.tolerances import tolerance
from fixtures.models.calibration_dense import calibrate_detector, calibrate_segmenter
from fixtures.models.cores import core
from fixtures.models.zoo import MODELS, ModelSpec, build_module, preprocessing

if TYPE_CHECKING:
    import torch

RUNS = 20
# Of the judged photographs every so many-th is judged, unless --step says otherwise: 20 runs take long.
STEPS = {"tolerances": 1, "runs": 5}
SEEDS = (0,)
BATCH_SIZES = (1, 2, 5, 7, 10)


class Case:
    """A model's core with calibrated weights of a seed, the judged photographs, and how its answers are judged."""

    def __init__(self, spec: ModelSpec, seed: int, step: int) -> None:
        self.spec, self.seed = spec, seed
        module = build_module(spec)
        calibrate = calibrate_detector if spec.task == "detection" else calibrate_segmenter
        calibrate(
            module,
            image_folder.load(image_folder.list_photographs(image_folder.BUNDLED), preprocessing(spec)).batch,
            seed,
        )
        self.core = core(spec.task, module).requires_grad_(False)
        loaded = image_folder.load(image_folder.judged_photographs(image_folder.BUNDLED)[::step], preprocessing(spec))
        self.batch, self.photographs = loaded.batch, loaded.photographs
        self.names = [photograph.name for photograph in loaded.photographs]
        self.detector = Detector(spec) if spec.task == "detection" else None

    def answers(self, call: Callable[[torch.Tensor], Any], batch_size: int, rounded: Any = None) -> Dict[str, Any]:
        """What `call` says of every photograph."""
        import torch

        with torch.inference_mode():
            parts = (self.batch if rounded is None else rounded(self.batch)).split(batch_size)
            return concatenate([to_numpy(call(part)) for part in parts])

    def judged(self, actual: Dict[str, Any], reference: Dict[str, Any], precision: str) -> Tuple[Any, Any]:
        """Agreement of the raw outputs, and the verdict on boxes or masks."""
        raw = agree_all(actual, reference, tolerance(precision, "calibrated"), self.names)
        if self.detector is None:
            return raw, judge_masks(
                masks_of(actual["out"]), masks_of(reference["out"]), MASK_TABLE[precision], self.names
            )
        found = [self.detector.boxes_of(outputs, self.photographs) for outputs in (actual, reference)]
        return raw, judge(*found, TABLE[precision], self.detector.limits, self.names)


def tolerances(case: Case) -> None:
    """Prints how far each twin is from eager."""
    reference = case.answers(case.core, 10)
    if case.detector:
        found = case.detector.boxes_of(reference, case.photographs)
        few, counts = with_few_boxes(found), sorted(map(len, found))
        title = f"{case.spec.name}, seed {case.seed}"
        print(f"{title}: 1 to {FEW_BOXES} boxes on {few} of {len(counts)} photographs; {counts}")
    for twin, precision, answers in TWINS:
        raw, verdict = case.judged(answers(case), reference, precision)
        print(
            f"| {case.spec.name} | {twin} | {case.seed} | {raw.max_relative_error:.1e} | {verdict.figures()} |",
            flush=True,
        )


def runs(case: Case) -> None:
    """Judges 20 runs of the ONNX Runtime twin, eager in batches and with threads that differ from run to run."""
    import torch

    verdicts = []
    with onnx_twin(case) as twin:
        for number in range(RUNS):
            torch.set_num_threads(1 + number % 2)
            reference = case.answers(case.core, BATCH_SIZES[number % len(BATCH_SIZES)])
            _, verdict = case.judged(case.answers(twin, 1), reference, "fp32")
            print(
                f"| {case.spec.name} | {case.seed} | {number + 1} | {bool(verdict)} | {verdict.figures()} |", flush=True
            )
            verdicts.append((bool(verdict), getattr(verdict, "matched", None), getattr(verdict, "excused", None)))
    print(f"{case.spec.name}, seed {case.seed}: {len(set(verdicts))} different outcome(s) in {RUNS} runs")


@contextlib.contextmanager
def onnx_twin(case: Case) -> Iterator[Any]:
    """The suite's own twin."""
    with tempfile.TemporaryDirectory() as folder:
        twin = backends.TWINS["onnxruntime_fp32"].build(case.core, case.batch[:1], Path(folder, "model.onnx"))
        with contextlib.closing(twin):
            yield twin


def onnxruntime_fp32(case: Case) -> Dict[str, Any]:
    """Photograph by photograph, as the suite runs it."""
    with onnx_twin(case) as twin:
        return case.answers(twin, 1)


def emulated_tf32(case: Case) -> Dict[str, Any]:
    """What convolutions multiply is rounded to TF32; sums stay float32, as on a GPU."""
    import torch

    layers = [part for part in case.core.modules() if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear))]
    with rounded_weights(layers, as_tf32), contextlib.ExitStack() as hooks:
        for layer in layers:
            hook = layer.register_forward_pre_hook(lambda _, inputs: tuple(map(as_tf32, inputs)))
            hooks.callback(hook.remove)
        return case.answers(case.core, 10)


def emulated_fp16(case: Case) -> Dict[str, Any]:
    """Input, weights, statistics and every layer's output are rounded to float16; sums stay float32, as on a GPU."""
    leaves = [part for part in case.core.modules() if not list(part.children())]
    with rounded_weights([case.core], as_float16), contextlib.ExitStack() as hooks:
        for part in leaves:
            hooks.callback(part.register_forward_hook(lambda _, inputs, output: as_float16(output)).remove)
        return case.answers(case.core, 10, as_float16)


def onnxruntime_int8(case: Case) -> Dict[str, Any]:
    """Explicitly quantised, calibrated on the photographs that are kept for it."""
    calibration = image_folder.load(image_folder.calibration_photographs(), preprocessing(case.spec)).batch
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        twin = backends.TWINS["onnxruntime_int8"].build(case.core, case.batch[:1], path, calibration)
        with contextlib.closing(twin):
            return case.answers(twin, 1)


TWINS = (
    ("onnxruntime_fp32", "fp32", onnxruntime_fp32),
    ("onnxruntime_int8", "int8", onnxruntime_int8),
    ("emulated tf32", "tf32", emulated_tf32),
    ("emulated fp16", "fp16", emulated_fp16),
)


def main(what: str, names: Sequence[str], seeds: Sequence[int], step: int) -> None:
    """Prints one of the two tables for these models and seeds, of every so many-th photograph."""
    show = {"tolerances": tolerances, "runs": runs}[what]
    for seed in seeds:
        for name in names:
            show(Case(MODELS[name], seed, step))


if __name__ == "__main__":
    dense = [name for name, spec in MODELS.items() if spec.task in ("detection", "segmentation")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=STEPS)
    parser.add_argument("models", nargs="*", choices=[*dense, []], metavar="MODEL", help="default: all")
    parser.add_argument("--seeds", default=SEEDS, type=lambda text: [int(seed) for seed in text.split(",")])
    parser.add_argument("--step", type=int, help="every so many-th of the judged photographs")
    asked = parser.parse_intermixed_args()
    main(asked.what, asked.models or dense, asked.seeds, asked.step or STEPS[asked.what])
