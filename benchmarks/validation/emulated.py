"""Twins of lower precision that a CPU can run: eager with its numbers rounded as a GPU rounds them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

if TYPE_CHECKING:
    import torch

# TF32 keeps 10 of a float32's 23 bits of mantissa (NVIDIA A100 whitepaper, "TF32").
TF32_DROPPED_BITS = 13
PREFIX = "emulated_"


@contextlib.contextmanager
def emulated(core: torch.nn.Module, precision: str) -> Iterator[Callable[[Any], Any]]:
    """Inside the block, `core` computes in tf32 or fp16. Sums stay float32, as on a GPU.

    In tf32, the factors of convolutions and linear layers are rounded. In fp16, the input, weights, statistics and
    every module's output are.
    """
    import torch

    rounded = {"tf32": as_tf32, "fp16": as_float16}[precision]
    leaves = [part for part in core.modules() if not list(part.children())]
    layers = [part for part in leaves if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear))]
    products_only = precision == "tf32"
    with rounded_weights(layers if products_only else [core], rounded), contextlib.ExitStack() as hooks:
        for part in layers if products_only else leaves:
            hook = (
                part.register_forward_pre_hook(lambda _, inputs: tuple(map(rounded, inputs)))
                if products_only
                else part.register_forward_hook(lambda _, inputs, output: rounded(output))
            )
            hooks.callback(hook.remove)
        with torch.inference_mode():
            yield core if products_only else lambda batch: core(rounded(batch))


@contextlib.contextmanager
def rounded_weights(
    modules: Sequence[torch.nn.Module], rounded: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Rounds the parameters and statistics of these modules inside the block."""
    tensors = {id(t): t for part in modules for t in (*part.parameters(), *part.buffers()) if t.is_floating_point()}
    originals = [(tensor, tensor.detach().clone()) for tensor in tensors.values()]
    try:
        for tensor, original in originals:
            tensor.data.copy_(rounded(original))
        yield
    finally:
        for tensor, original in originals:
            tensor.data.copy_(original)


def as_float16(values: torch.Tensor) -> torch.Tensor:
    """The same float32 tensor with every value rounded to float16."""
    return values.half().float()


def as_tf32(values: torch.Tensor) -> torch.Tensor:
    """The same float32 tensor with every value rounded to TF32, to nearest."""
    import torch

    bits = values.contiguous().view(torch.int32) + (1 << (TF32_DROPPED_BITS - 1))
    return (bits & -(1 << TF32_DROPPED_BITS)).view(torch.float32)
