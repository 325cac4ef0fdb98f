"""A model with calibrated weights of any seed, the judged images, its twins, and verdicts on their outputs."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator

from benchmarks.validation.emulated import PREFIX, emulated
from twins.answers.detector import Detector
from twins.answers.masks import masks_of
from twins.backends import REFERENCE, TWINS
from twins.common.outputs import concatenate, to_numpy
from twins.images import folder as image_folder
from twins.judge.agreement import Agreement, agree_all
from twins.judge.decisions import top1
from twins.judge.detection import judge
from twins.judge.segmentation import judge_masks
from twins.models.calibration import calibrate
from twins.models.calibration_dense import calibrate_detector, calibrate_segmenter
from twins.models.cores import core
from twins.models.zoo import ModelSpec, build_module, categories, preprocessing
from twins.tolerances import boxes as box_tolerances
from twins.tolerances import masks as mask_tolerances
from twins.tolerances.outputs import Tolerance, tolerance

if TYPE_CHECKING:
    import torch

Outputs = Dict[str, Any]


class Seeded:
    """A model's core on its device. Uses every `step`-th of the judged images.

    weights_kind: calibrated, or the spec's name for the weights that its builder brings. If `stand_in` is true, the
        stand-in replaces these.
    """

    def __init__(self, spec: ModelSpec, seed: int, device: str = "cpu", step: int = 1, stand_in: bool = False) -> None:
        import torch

        self.spec, self.seed, self.device = spec, seed, device
        self.weights_kind = "calibrated" if stand_in else spec.weights_brought or "calibrated"
        found = image_folder.list_images(image_folder.BUNDLED)
        batch = image_folder.load(found, preprocessing(spec)).batch
        module = build_module(spec)
        if self.weights_kind == "calibrated":
            _calibrate(spec, module, batch, seed)
        self.core: torch.nn.Module = core(spec, module).requires_grad_(False).to(device)
        chosen = image_folder.judged_images(image_folder.BUNDLED)
        judged = torch.tensor([image.name in {one.name for one in chosen} for image in found])
        self.batch = batch[judged][::step].to(device)
        self.calibration = batch[~judged].to(device)
        self.images = chosen[::step]
        self.names = [image.name for image in self.images]
        self.detector = Detector(spec) if spec.task == "detection" else None

    def outputs(self, run: Callable[[Any], Any], batch_size: int = 1) -> Outputs:
        """What `run` gives for every image, as named arrays."""
        return concatenate([to_numpy(run(part)) for part in self.batch.split(batch_size)])

    def reference(self, batch_size: int = 1) -> Outputs:
        """Eager's outputs in true float32, for each image alone, as in the suite."""
        return self.outputs(TWINS[REFERENCE].build(self.core, self.batch[:1]), batch_size)

    @contextlib.contextmanager
    def twin(self, name: str) -> Iterator[Callable[[Any], Any]]:
        """The twin of this name, built for batches of one. `emulated_<precision>` is also a twin."""
        if name.startswith(PREFIX):
            with emulated(self.core, precision_of(name)) as run:
                yield run
            return
        with tempfile.TemporaryDirectory() as folder:
            spec = TWINS[name]
            path = Path(folder, f"engine{spec.module.ENGINE_SUFFIX or ''}")
            with contextlib.closing(spec.build(self.core, self.batch[:1], path, self.calibration)) as run:
                yield run

    def tolerance(self, precision: str) -> Tolerance:
        """The limits of this model, on these weights."""
        return tolerance(precision, self.weights_kind, self.spec.own_tolerances(self.weights_kind))

    def agreement(self, actual: Outputs, reference: Outputs, precision: str) -> Agreement:
        """The verdict on the numbers."""
        return agree_all(actual, reference, self.tolerance(precision), self.names)

    def decisions(self, actual: Outputs, reference: Outputs, precision: str) -> Any:
        """The verdict on top-1, boxes or masks."""
        if self.detector is not None:
            found = [self.detector.boxes_of(outputs, self.images) for outputs in (actual, reference)]
            return judge(*found, box_tolerances.TABLE[precision], self.detector.limits, self.names)
        if self.spec.task == "segmentation":
            masks = [masks_of(outputs["out"]) for outputs in (actual, reference)]
            return judge_masks(*masks, mask_tolerances.TABLE[precision], self.names)
        logits = next(iter(reference))
        return top1(actual[logits], reference[logits], self.tolerance(precision), self.names, categories(self.spec))


def precision_of(twin: str) -> str:
    """The last part of a twin's name."""
    return twin.rpartition("_")[2]


def _calibrate(spec: ModelSpec, module: Any, batch: torch.Tensor, seed: int) -> None:
    import torch

    if spec.task == "detection":
        calibrate_detector(module, batch, seed)
    elif spec.task == "segmentation":
        calibrate_segmenter(module, batch, seed)
    else:
        names = categories(spec)
        labelled = image_folder.resolve_labels(image_folder.list_images(image_folder.BUNDLED), names or ())
        calibrate(module, batch, torch.tensor([image.label for image in labelled]), seed)
