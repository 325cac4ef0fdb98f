"""Models of your own, as an example: `pytest benchmarks --model-file benchmarks/examples/own_models.py`."""

from __future__ import annotations

import torch
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from twins.models import ModelSpec


def seeded(module: torch.nn.Module) -> torch.nn.Module:
    """Seeded weights, because a builder must return the same ones each time. Yours loads a checkpoint."""
    generator = torch.Generator().manual_seed(0)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return module


class Pointwise(torch.nn.Module):
    """Batch norm, ReLU, sigmoid and tanh of the image: only pointwise layers, which any TensorRT can run."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(3)
        generator = torch.Generator().manual_seed(0)
        for tensor in (self.norm.weight.data, self.norm.bias.data, self.norm.running_mean):
            tensor.copy_(torch.randn(3, generator=generator))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """N×3×H×W to N×9×H×W."""
        normed = self.norm(batch)
        return torch.cat([normed.relu(), torch.sigmoid(normed), torch.tanh(batch)], dim=1)


class Pair(torch.nn.Module):
    """Two inputs (the image small and large) and a dict of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.scores = torch.nn.Linear(8 * 4, 5)

    def forward(self, small: torch.Tensor, large: torch.Tensor) -> dict:
        """N×3×32×32 and N×3×64×64 to scores N×5 and a map N×1×32×32."""
        features = self.features(large).relu()
        pooled = torch.nn.functional.adaptive_avg_pool2d(self.features(small), 2)
        return {"scores": self.scores(pooled.flatten(1)), "map": features.mean(1, keepdim=True)}


def classifier() -> torch.nn.Module:
    """Four classes, on images of 32×32."""
    layers = [torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 15 * 15, 4)]
    return seeded(torch.nn.Sequential(*layers))


def preprocess(size: int) -> Compose:
    """The image resized to size×size, with values of roughly -1 to 1."""
    return Compose([Resize([size, size]), ToTensor(), Normalize([0.5] * 3, [0.5] * 3)])


def small_and_large(image: object) -> tuple:
    """One tensor per input."""
    return preprocess(32)(image), preprocess(64)(image)


MODELS = [
    # Only numbers are compared.
    ModelSpec("pointwise", task="tensor", builder=Pointwise, preprocess=preprocess(128)),
    # Several inputs and outputs. Its own tolerance for fp16; other precisions use the table's.
    ModelSpec(
        "pair",
        task="tensor",
        builder=lambda: seeded(Pair()),
        preprocess=small_and_large,
        tolerances={"fp16": 0.02},
    ),
    # Top-1 too, and accuracy if the images have these labels. One engine for batches of 1 to 8.
    ModelSpec(
        "four_classes",
        builder=classifier,
        preprocess=preprocess(32),
        class_names=("bird", "building", "mammal", "thing"),
        batch_profile=(1, 4, 8),
    ),
]
