"""Tests of the AlexNet example with six classes: every build has the same weights, and outputs depend on the image."""

from __future__ import annotations

import runpy

import torch

from fixtures.images import folder as image_folder


def test_it_builds_the_same_weights_and_distinguishes_images(root):
    example = runpy.run_path(str(root / "benchmarks" / "examples" / "alexnet_six.py"))
    spec = example["ALEXNET_SIX"]
    first, second = spec.builder(), spec.builder()
    assert all(torch.equal(one, other) for one, other in zip(first.state_dict().values(), second.state_dict().values()))
    with torch.inference_mode():
        images = image_folder.judged_images(image_folder.BUNDLED)[:12]
        predicted = first(image_folder.load(images, spec.preprocess).batch).argmax(dim=1)
    assert len(set(predicted.tolist())) >= 3 and len(spec.class_names) == 6
