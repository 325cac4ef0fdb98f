"""Models that no check can judge: each fails once, in its preflight or by its reference; `plain` at the end runs."""

from __future__ import annotations

import torch
from torchvision.transforms import Compose, RandomHorizontalFlip, Resize, ToTensor, functional

from fixtures.models import ModelSpec

SQUARE = Compose([Resize([16, 16]), ToTensor()])


class Net(torch.nn.Module):
    """One linear layer, and what becomes of its output."""

    def __init__(self, after, count):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.after = torch.nn.Linear(768, count), after

    def forward(self, batch):
        return self.after(self.layer(batch.flatten(1)))


class OtherEachTime(torch.nn.Module):
    """Its offset is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.offset = torch.randn(4, generator=torch.Generator().manual_seed(OtherEachTime.built))
        OtherEachTime.built += 1

    def forward(self, batch):
        return batch.flatten(1)[:, :4] + self.offset

    built = 0


def fail(outputs):
    raise RuntimeError("my own error")


def load_nothing():
    return torch.load("no_such_file.pt")


def spec(name, after=lambda y: y, task="tensor", count=4, preprocess=SQUARE, **more):
    return ModelSpec(name, task=task, builder=lambda: Net(after, count), preprocess=preprocess, **more)


MODELS = [
    spec("few_names", task="classification", class_names=("a", "b", "c")),
    spec("names_by_index", task="classification", class_names={0: "a", 1: "b", 2: "c", 3: "d"}),
    spec("argmax", lambda y: y.argmax(1), "classification"),
    spec("own_detector", task="detection"),
    spec("bf16", lambda y: y.bfloat16()),
    spec("short_side", preprocess=Compose([Resize(16), ToTensor()])),
    spec("two_arguments", preprocess=lambda image: (SQUARE(image), SQUARE(image))),
    spec("random", preprocess=Compose([SQUARE, RandomHorizontalFlip()])),
    spec("slip", preprocess=lambda image: functional.rezise(image, [16, 16])),
    spec("raising", fail),
    ModelSpec("no_checkpoint", task="tensor", builder=load_nothing, preprocess=SQUARE),
    spec("twice"),
    spec("twice"),
    ModelSpec("other_each_time", task="tensor", builder=OtherEachTime, preprocess=SQUARE),
    spec("zeros", lambda y: y * 0),
    spec("constant", lambda y: y * 0 + 1),
    spec("plain"),
]
