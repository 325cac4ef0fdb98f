"""AlexNet with six classes, as in the report that this suite replaces.

pytest benchmarks --model-file benchmarks/examples/alexnet_six.py --models alexnet_six
"""

from __future__ import annotations

import bisect

import torch
from torchvision.models import AlexNet_Weights, alexnet

from twins.images import folder as image_folder
from twins.models import ModelSpec
from twins.models.calibration import calibrate

# The first ImageNet index of each class. ImageNet has animals first, sorted by kind, then things, sorted by name.
FIRST_INDEX = (0, 147, 269, 398, 550, 700)
CLASSES = ("fish, birds, reptiles", "sea mammals, dogs", "other animals", "things to E", "things to P", "things to Z")

preprocess = AlexNet_Weights.IMAGENET1K_V1.transforms()


def build() -> torch.nn.Module:
    """Seeded weights with the last layer fitted to the bundled images. Yours loads a checkpoint."""
    module = alexnet(weights=None, num_classes=len(CLASSES)).eval()
    images = image_folder.list_images(image_folder.BUNDLED)
    indices = [
        one.label for one in image_folder.resolve_labels(images, AlexNet_Weights.IMAGENET1K_V1.meta["categories"])
    ]
    labels = torch.tensor([bisect.bisect_right(FIRST_INDEX, index) - 1 for index in indices])
    calibrate(module, image_folder.load(images, preprocess).batch, labels, seed=0)
    return module


ALEXNET_SIX = ModelSpec("alexnet_six", builder=build, preprocess=preprocess, class_names=CLASSES)
