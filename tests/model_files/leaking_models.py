"""Models for soaks: one that keeps 4 KiB of each call, one that forgets how to count, and one that does neither."""

from __future__ import annotations

import torch

from fixtures.models.zoo import ModelSpec
from tests.model_files.tiny_models import Tiny, small


class Leaking(Tiny):
    """Keeps 4 KiB of every call in eager mode; the exported graph has none of it."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def forward(self, batch):
        if not torch.onnx.is_in_onnx_export():
            self.kept.append(bytes([1]) * 4096)
        return super().forward(batch)


class Drifting(Tiny):
    """After some thousand calls in one process, its outputs change a little."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, batch):
        self.calls += not torch.onnx.is_in_onnx_export()
        return super().forward(batch) * (1 + 1e-6 * (self.calls > 2000))


MODELS = [
    ModelSpec("leaking", builder=Leaking, preprocess=small),
    ModelSpec("drifting", builder=Drifting, preprocess=small),
    ModelSpec("tight", builder=Tiny, preprocess=small),
]
