"""What tests of calibrated weights require of a classifier's logits and of the activations before them."""

from __future__ import annotations

import torch

from fixtures.images import folder as image_folder
from fixtures.models.zoo import categories, preprocessing

FLOAT16_MAX, FLOAT16_SMALLEST_NORMAL = 65504.0, 6.1e-5
# Rounding to float16 changes logits by about this much, relative to the largest one.
FLOAT16_NOISE = 2e-3


def images_for(spec, known={}):  # noqa: B006 - a cache
    """Batch and labels of the bundled images; decoded once for each preprocessing."""
    listed = image_folder.resolve_labels(image_folder.list_images(image_folder.BUNDLED), categories(spec))
    key = repr(preprocessing(spec))
    if key not in known:
        known[key] = image_folder.load(listed, preprocessing(spec)).batch
    return known[key], torch.tensor([image.label for image in listed])


def watched(module, batch):
    """The module's logits, and the largest |activation| of each of its modules that gives a tensor."""
    extremes = {}

    def watch(part, inputs, output):
        if isinstance(output, torch.Tensor):
            largest = max(abs(float(extreme)) for extreme in torch.aminmax(output.movedim(1, -1)))
            extremes[part] = max(largest, extremes.get(part, 0.0))

    handles = [part.register_forward_hook(watch) for part in module.modules()]
    module.to(memory_format=torch.channels_last)  # faster on CPUs
    batch = batch.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        logits = torch.cat([module(images) for images in batch.split(16)])
    for handle in handles:
        handle.remove()
    return logits, extremes


def right(logits, labels):
    """The share of images whose largest logit is their label's."""
    return float((logits.argmax(1) == labels).float().mean())


def scale(logits):
    """The largest |logit| of all images."""
    return float(logits.abs().max())


def unsafe(logits):
    """Images that float16's noise might decide otherwise."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    # Noise flips a decision only by lifting one class and lowering another, so below twice its size.
    return int(((first - second) / scale(logits) < 2 * FLOAT16_NOISE).sum())


def nearest(logits):
    """The smallest distance between two images' logits, the largest difference of any class."""
    distances = torch.cdist(logits, logits, p=float("inf"))
    return float(distances.fill_diagonal_(float("inf")).min())
