"""Models that build in no time, and models that go wrong in a worker: given to the suite with --model-file."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pathlib
import signal
import time

import torch
from torchvision.transforms import functional

from fixtures.models.zoo import ModelSpec


class Tiny(torch.nn.Module):
    """A classifier with ImageNet's classes whose output depends on the image."""

    imagenet_classes = True

    def __init__(self, at_export=None):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 16, 5, stride=2)
        self.classifier = torch.nn.Linear(16 * 2 * 2, 1000)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.at_export = at_export

    def forward(self, batch):
        if self.at_export and torch.onnx.is_in_onnx_export():
            self.at_export()
        features = torch.nn.functional.adaptive_avg_pool2d(self.convolution(batch).relu(), 2)
        return self.classifier(features.flatten(1)) / 10


def small(picture):
    """32×32, 0 to 1."""
    return functional.to_tensor(functional.resize(picture, [32, 32]))


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def hang():
    time.sleep(120)


def refuse():
    raise RuntimeError("operator not supported")


def exhaust_memory():
    torch.empty(2**60)


def exhaust_device():
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "graph.onnx")


def build_slowly():
    pathlib.Path(os.environ["MARKER"]).touch()
    hang()


class InTheSuite(Tiny):
    """Works in workers, and goes wrong in the suite's own process."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def forward(self, batch):
        if multiprocessing.parent_process() is None:
            self.fault()
        return super().forward(batch)


def lose_device():
    raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")


MODELS = [
    ModelSpec("tiny", builder=Tiny, preprocess=small),
    ModelSpec("crashing", builder=lambda: Tiny(crash), preprocess=small),
    ModelSpec("hanging", builder=lambda: Tiny(hang), preprocess=small),
    ModelSpec("refused", builder=lambda: Tiny(refuse), preprocess=small),
    ModelSpec("hungry", builder=lambda: Tiny(exhaust_memory), preprocess=small),
    ModelSpec("device_hungry", builder=lambda: Tiny(exhaust_device), preprocess=small),
    ModelSpec("killed", builder=lambda: Tiny(be_killed), preprocess=small),
    ModelSpec("full", builder=lambda: Tiny(fill_disk), preprocess=small),
    ModelSpec("slow", builder=lambda: Tiny(build_slowly), preprocess=small),
    ModelSpec("starved", builder=lambda: InTheSuite(exhaust_memory), preprocess=small),
    ModelSpec("lost", builder=lambda: InTheSuite(lose_device), preprocess=small),
]
