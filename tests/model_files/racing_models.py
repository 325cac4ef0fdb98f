"""Models for --streams: one that may be called from several threads, and one that keeps what it computes in itself."""

from __future__ import annotations

import time

import torch

from fixtures.models.zoo import ModelSpec
from tests.model_files.tiny_models import Tiny, small


class Racing(Tiny):
    """Leaves its features in itself and takes them up again: right as long as nobody else calls meanwhile."""

    def forward(self, batch):
        if torch.onnx.is_in_onnx_export():
            return super().forward(batch)
        self.kept = batch
        time.sleep(0.002)
        return super().forward(self.kept)


MODELS = [
    ModelSpec("steady", builder=Tiny, preprocess=small),
    ModelSpec("racing", builder=Racing, preprocess=small),
]
