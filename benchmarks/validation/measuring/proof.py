"""The result of a proof, and the models that the proofs measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Tuple

from twins.backends import REFERENCE, TWINS
from twins.models.zoo import MODELS

MIB = 2**20


@dataclass(frozen=True)
class Proof:
    """One result: the measured value, its limit, whether it held, and the numbers behind it, JSON-safe."""

    name: str
    ok: bool
    got: str
    limit: str
    data: Dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{'held' if self.ok else 'NOT HELD':9}{self.name}: {self.got} (limit {self.limit})"


def twin_name(run_device: str) -> str:
    """The twin measured next to eager. Checking the instruments needs no TensorRT."""
    return "onnxruntime_fp32" if run_device == "cpu" else "cuda_graph_fp32"


def module(model: str, run_device: str) -> Any:
    """A model of the zoo with torchvision's untrained weights, seeded. That is enough for measuring."""
    import torch
    from torchvision.models import get_model

    torch.manual_seed(0)
    options = {**MODELS[model].builder_options}
    return get_model(model, weights=None, **options).eval().to(run_device)


def batch(run_device: str, seed: int = 0) -> Any:
    """Noise, 1×3×224×224."""
    import torch

    return torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(seed)).to(run_device)


def eager_and_twin(model: str, run_device: str, folder: Path) -> Tuple[Any, Any, Any]:
    """(eager, twin, batch)."""
    made, images = module(model, run_device), batch(run_device)
    eager = TWINS[REFERENCE].build(made, images)
    return eager, TWINS[twin_name(run_device)].build(made, images, folder / f"{model}.onnx"), images


def weights_path(model: str, folder: Path) -> Path:
    """The same weights as a file, for the suite's workers."""
    import torch

    path = folder / f"{model}.pth"
    if not path.exists():
        torch.save(module(model, "cpu").state_dict(), path)
    return path
