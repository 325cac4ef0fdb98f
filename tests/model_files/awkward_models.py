"""Models that change their input, branch on their batch, normalise by it, or give an empty first mask."""

from __future__ import annotations

import torch
from torchvision import transforms

from fixtures.models import ModelSpec

PREPROCESS = transforms.Compose([transforms.Resize([16, 16]), transforms.ToTensor()])


class Plain(torch.nn.Module):
    """A linear layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(3 * 16 * 16, 4)

    def forward(self, batch):
        return self.linear(batch.flatten(1))


class InPlace(Plain):
    def forward(self, batch):
        return super().forward(batch.sub_(0.5).div_(0.5))


class Branch(Plain):
    def forward(self, batch):
        return super().forward(batch) * (3 if batch.mean() > 0.35 else 1)


class Range(Plain):
    def forward(self, batch):
        return super().forward((batch - batch.min()) / (batch.max() - batch.min()))


class Twice(Plain):
    """Its exported graph is another model."""

    def forward(self, batch):
        return super().forward(batch) * (2 if torch.onnx.is_in_onnx_export() else 1)


class Mask(torch.nn.Module):
    def forward(self, batch):
        score = batch[:, :1] - batch[:, 1:2]
        return {"score": score, "mask": (score > 0.4).to(torch.uint8)}


MODELS = [
    ModelSpec(module.__name__.lower(), task="tensor", builder=module, preprocess=PREPROCESS)
    for module in (InPlace, Branch, Range, Twice, Mask, Plain)
]
