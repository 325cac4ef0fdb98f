"""Models of open height and width for --model-file; one that is frozen at one size, and one that cannot be exported."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from fixtures.models.zoo import ModelSpec
from tests.model_files import tiny_dense

SIZES = ((48, 48), (64, 64), (80, 112))


class Frozen(nn.Module):
    """Scales its output to a size that the trace makes a constant of."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, batch):
        height, width = int(batch.shape[2]), int(batch.shape[3])
        return nn.functional.interpolate(self.layer(batch), size=(height, width), mode="bilinear")


class Pooled(nn.Module):
    """Pools to 2×2, which needs to know the size of the input."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2))

    def forward(self, batch):
        return self.layers(batch)


_OF_NAME = {spec.name: spec for spec in tiny_dense.MODELS}
MODELS = [
    replace(_OF_NAME["tiny_detector"], sizes=SIZES),
    replace(_OF_NAME["tiny_segmenter"], sizes=SIZES),
    ModelSpec("frozen", task="tensor", builder=Frozen, preprocess=tiny_dense.small, sizes=SIZES),
    ModelSpec("pooled", task="tensor", builder=Pooled, preprocess=tiny_dense.small, sizes=SIZES),
]
