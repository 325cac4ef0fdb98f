"""One of torchvision's published models on small pictures, so that it is calibrated in no time: for --model-file."""

from __future__ import annotations

from torchvision.transforms import functional

from fixtures.models.zoo import ModelSpec


def small(picture):
    """64×64, about -2 to 2."""
    pixels = functional.to_tensor(functional.resize(picture, [64, 64]))
    return functional.normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


MODEL = ModelSpec("shufflenet_v2_x0_5", "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1", preprocess=small)
