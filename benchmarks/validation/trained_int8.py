"""Measures what int8 costs the zoo's trained network, with several choices of calibration images.

From the repository's root: `python -m benchmarks.validation.trained_int8`, on a CPU. docs/tolerances.md has its output.
The first choice is the suite's own split of the bundled images, the others are drawn with a seed.
"""

from __future__ import annotations

from typing import Any, List, Sequence

import numpy

from benchmarks.validation.seeded import Seeded
from twins.common.outputs import largest
from twins.images import folder as image_folder
from twins.models.efficientnet_lite import NAME
from twins.models.zoo import categories, find

CHOICES = (0, 1, 2)
TWIN, PRECISION = "onnxruntime_int8", "int8"


def split(case: Seeded, choice: int) -> List[int]:
    """Chooses as many other images for judging and calibration; returns the labels of those for judging."""
    import torch

    found = image_folder.list_images(image_folder.BUNDLED)
    labelled = {one.name: one.label for one in image_folder.resolve_labels(found, categories(case.spec) or ())}
    judged = {image.name for image in case.images}
    images = [*case.images, *(image for image in found if image.name not in judged)]
    order = numpy.random.default_rng(choice).permutation(len(images)) if choice else numpy.arange(len(images))
    batch, count = torch.cat([case.batch, case.calibration])[torch.as_tensor(order)], len(case.images)
    case.batch, case.calibration = batch[:count], batch[count:]
    case.images = type(case.images)(images[place] for place in order[:count])
    case.names = [image.name for image in case.images]
    return [labelled[name] for name in case.names]


def right(logits: Any, labels: Sequence[int]) -> int:
    """How many images are classified as labelled."""
    return int((logits.argmax(axis=1) == numpy.asarray(labels)).sum())


def main() -> None:
    """Prints a row for each choice."""
    print("| network | choice | eager right | int8 right | error | cosine | flips | widest margin |")
    print("|---" * 8 + "|")
    for choice in CHOICES:
        case = Seeded(find(NAME), 0)
        labels = split(case, choice)
        reference = case.reference()
        with case.twin(TWIN) as run:
            actual = case.outputs(run)
        (theirs,), (ours,) = reference.values(), actual.values()
        found = case.agreement(actual, reference, PRECISION)
        flips = case.decisions(actual, reference, PRECISION).flips
        widest = f"{flips[0].margin / largest(theirs):.3f}" if flips else "–"
        print(
            f"| {NAME} | {choice} | {right(theirs, labels)} | {right(ours, labels)} | {found.max_relative_error:.1e}"
            f" | {found.cosine:.3f} | {len(flips)} | {widest} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
