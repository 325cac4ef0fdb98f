"""What the tests of TensorRT's backends share: a small model, batches for it, and an engine of it on the double."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from fixtures.common.build_options import DEFAULT, BuildOptions, BuildRequest

# What may have become of a stored file: its bytes before -> after.
DAMAGES = (lambda data: data[: len(data) // 2], lambda data: b"garbage", lambda data: b"")


def small_model(*more: Any) -> Any:
    """Convolution, batch norm, ReLU, pooling and a linear layer, on batches N×3×16×16."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(392, 5)]
    return nn.Sequential(*layers, *more).eval().requires_grad_(False)


def image_batch(count: int = 1, size: int = 16) -> Any:
    """A batch that depends on its size alone."""
    import torch

    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))


def built(backend: Any, folder: Any, model: Any = None, precision: str = "fp32", example: Any = None,
          options: BuildOptions = DEFAULT) -> Tuple[Any, Any]:  # fmt: skip
    """(twin, file) of the small model or another one, built by this backend's module."""
    path = folder / f"artefact{backend.ENGINE_SUFFIX}"
    calibration: Optional[Any] = image_batch(14) if precision == "int8" else None
    example = image_batch() if example is None else example
    return backend.build(BuildRequest(model or small_model(), example, precision, path, calibration, options)), path


def load(backend: Any, path: Any, example: Any, precision: str = "fp32", options: BuildOptions = DEFAULT) -> Any:
    """The twin that this backend's module makes of a stored engine."""
    return backend.load(BuildRequest(None, example, precision, path, options=options))


def relative_error(output: Any, expected: Any) -> float:
    """Largest deviation as a share of the largest expected value."""
    return float((output - expected).abs().max() / expected.abs().max())
