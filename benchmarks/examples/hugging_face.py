"""An image classifier from Hugging Face's package transformers: `pip install transformers`, then

pytest benchmarks --model-file benchmarks/examples/hugging_face.py --models hugging_face_vit
"""

from __future__ import annotations

import torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from twins.models import ModelSpec

LABELS = ("animal", "building", "tool", "vehicle")
# Yours: ViTImageProcessor.from_pretrained("google/vit-base-patch16-224")
PROCESSOR = ViTImageProcessor(size={"height": 64, "width": 64})


class Logits(torch.nn.Module):
    """Returns only the logits, because transformers' own output is an object and a twin returns tensors."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images N×3×64×64 -> N×4."""
        return self.model(pixel_values=pixel_values).logits


def build() -> torch.nn.Module:
    """A small net with seeded weights. Yours: ViTForImageClassification.from_pretrained(NAME)."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = ViTConfig(image_size=64, patch_size=16, num_labels=len(LABELS), initializer_range=0.2, **sizes)
    return Logits(ViTForImageClassification(config))


def preprocess(image):
    """Same as the model's own processor."""
    return PROCESSOR(image, return_tensors="pt")["pixel_values"][0]


VIT = ModelSpec("hugging_face_vit", builder=build, preprocess=preprocess, class_names=LABELS)
