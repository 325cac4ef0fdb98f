"""Models of your own, as an example: `pytest benchmarks --model-file benchmarks/examples/own_models.py`."""

from __future__ import annotations

import torch
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from fixtures.zoo import ModelSpec


class Pointwise(torch.nn.Module):
    """Batch norm, ReLU, sigmoid and tanh of the picture: nothing but pointwise layers, which any TensorRT can run."""

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


def preprocess(size: int) -> Compose:
    """A picture as size×size, roughly from -1 to 1."""
    return Compose([Resize([size, size]), ToTensor(), Normalize([0.5] * 3, [0.5] * 3)])


POINTWISE = ModelSpec("pointwise", task="tensor", builder=Pointwise, preprocess=preprocess(512))
